//! Answers of the Prometheus HTTP API, and the shape in which this agent gives them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the server answers, both good and bad.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Answer<T> {
    Success {
        data: T,
        #[serde(default)]
        warnings: Vec<String>,
        #[serde(default)]
        infos: Vec<String>,
    },
    Error {
        #[serde(rename = "errorType", default)]
        kind: String,
        #[serde(default)]
        error: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(crate) enum Data {
    Vector(Vec<VectorItem>),
    Matrix(Vec<MatrixItem>),
    Scalar(Point),
    String(Point),
}

/// Seconds since 1970, and a number in text, for JSON knows no NaN.
type Point = (f64, String);

#[derive(Debug, Deserialize)]
pub(crate) struct VectorItem {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<Point>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MatrixItem {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<Point>,
}

/// A query that the server does not answer.
pub(crate) struct Refusal {
    pub(crate) kind: String,
    pub(crate) error: String,
}

/// What was answered.
pub(crate) struct Result<T> {
    pub(crate) data: T,
    pub(crate) warnings: Vec<String>,
}

impl<T> Answer<T> {
    pub(crate) fn into_result(self) -> std::result::Result<Result<T>, Refusal> {
        match self {
            Self::Success {
                data,
                mut warnings,
                infos,
            } => {
                warnings.extend(infos);
                Ok(Result { data, warnings })
            }
            Self::Error { kind, error } => Err(Refusal { kind, error }),
        }
    }
}

/// One measurement.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Sample {
    /// Seconds since 1970.
    time: f64,
    /// The number; null where it is none that JSON can write.
    value: Option<f64>,
    /// What the server wrote where `value` is null: `NaN`, `+Inf`, `-Inf`, or a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl From<Point> for Sample {
    fn from((time, text): Point) -> Self {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Self {
                time,
                value: Some(number),
                text: None,
            },
            Ok(_) | Err(_) => Self {
                time,
                value: None,
                text: Some(text),
            },
        }
    }
}

/// One series at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InstantSeries {
    /// Its labels, `__name__` included.
    labels: BTreeMap<String, String>,
    /// Its value at that moment.
    value: Sample,
}

/// One series over a span of time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RangeSeries {
    /// Its labels, `__name__` included.
    labels: BTreeMap<String, String>,
    /// Its values, the oldest first.
    values: Vec<Sample>,
}

/// Items with a value. Native histograms have none; how many were left out is the second part.
pub(crate) fn instants(items: Vec<VectorItem>) -> (Vec<InstantSeries>, usize) {
    let all = items.len();
    let series: Vec<_> = items
        .into_iter()
        .filter_map(|item| {
            Some(InstantSeries {
                labels: item.metric,
                value: item.value?.into(),
            })
        })
        .collect();
    let left_out = all - series.len();
    (series, left_out)
}

/// A value without labels.
pub(crate) fn unlabelled(point: Point) -> Vec<InstantSeries> {
    vec![InstantSeries {
        labels: BTreeMap::new(),
        value: point.into(),
    }]
}

/// As [`instants`], over a span of time.
pub(crate) fn ranges(items: Vec<MatrixItem>) -> (Vec<RangeSeries>, usize) {
    let all = items.len();
    let series: Vec<_> = items
        .into_iter()
        .filter(|item| !item.values.is_empty())
        .map(|item| RangeSeries {
            labels: item.metric,
            values: item.values.into_iter().map(Sample::from).collect(),
        })
        .collect();
    let left_out = all - series.len();
    (series, left_out)
}

/// Says that native histograms were left out.
pub(crate) fn left_out(count: usize) -> Option<String> {
    (count > 0).then(|| format!("{count} series of native histograms were left out: use histogram_quantile() or a like function"))
}

/// The kind of a result, as the server names it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultType {
    Vector,
    Scalar,
    String,
    Matrix,
}
