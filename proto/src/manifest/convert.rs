//! A manifest and the reply to `Info`: the same facts in two shapes.

use bytes::Bytes;
use serde_json::{Value, json};
use strict_json::weight;

use super::{
    Action, Kind, Manifest, ManifestError, OrInvalid, Permission, Setting, SettingType, v1,
};

/// What all schemas of a manifest weigh at most. Those of two hundred actions weigh some 10 MiB.
const SCHEMAS_WEIGHT_MAX: usize = 64 * 1024 * 1024;

impl Manifest {
    /// Reads and checks the reply to `Info`.
    ///
    /// # Errors
    /// [`ManifestError`], the first problem found.
    pub fn from_info(info: v1::InfoResponse) -> Result<Self, ManifestError> {
        let kind = kind(info.r#type())?;
        weigh(&info)?;
        let manifest = Self {
            kind,
            name: info.name,
            version: info.version,
            description: info.description,
            actions: info
                .actions
                .into_iter()
                .map(action)
                .collect::<Result<_, _>>()?,
            settings: info
                .config_schema
                .into_iter()
                .map(setting)
                .collect::<Result<_, _>>()?,
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// The reply to `Info` of an instance of this plugin.
    #[must_use]
    pub fn to_info(&self, instance_id: &str) -> v1::InfoResponse {
        v1::InfoResponse {
            name: self.name.clone(),
            version: self.version.clone(),
            description: self.description.clone(),
            r#type: plugin_type(self.kind).into(),
            permission: self
                .actions
                .first()
                .map_or(v1::Permission::Unspecified, |a| a.permission.into())
                .into(),
            actions: self.actions.iter().map(to_message).collect(),
            config_schema: self.settings.iter().map(to_param).collect(),
            instance_id: instance_id.to_owned(),
            ..v1::InfoResponse::default()
        }
    }
}

impl From<Permission> for v1::Permission {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::Read => Self::Read,
            Permission::Modify => Self::Modify,
            Permission::Admin => Self::Admin,
        }
    }
}

impl Permission {
    /// By meaning, not by number: `WRITE` is a change like `MODIFY`. `None` where nothing is declared.
    #[must_use]
    pub fn from_wire(permission: v1::Permission) -> Option<Self> {
        match permission {
            v1::Permission::Unspecified => None,
            v1::Permission::Read => Some(Self::Read),
            v1::Permission::Modify | v1::Permission::Write => Some(Self::Modify),
            v1::Permission::Admin => Some(Self::Admin),
        }
    }
}

fn kind(kind: v1::PluginType) -> Result<Kind, ManifestError> {
    match kind {
        v1::PluginType::Agent => Ok(Kind::Agent),
        v1::PluginType::Provider => Ok(Kind::Provider),
        v1::PluginType::Connector => Ok(Kind::Connector),
        v1::PluginType::Unspecified => Err(ManifestError::Invalid {
            place: "type".to_owned(),
            problem: "must be agent, provider or connector".to_owned(),
        }),
    }
}

fn plugin_type(kind: Kind) -> v1::PluginType {
    match kind {
        Kind::Agent => v1::PluginType::Agent,
        Kind::Provider => v1::PluginType::Provider,
        Kind::Connector => v1::PluginType::Connector,
    }
}

fn action(action: v1::Action) -> Result<Action, ManifestError> {
    let place = |part: &str| format!("action {}: {part}", action.id);
    let permission = Permission::from_wire(action.permission());
    permission
        .is_some()
        .or_invalid(&place("permission"), "is not declared")?;
    Ok(Action {
        permission: permission.unwrap_or(Permission::Admin),
        idempotent: action.idempotent,
        lookup: action.lookup,
        plan: action.plan,
        settle_ms: positive(action.settle_ms),
        timeout_ms: positive(action.timeout_ms),
        input_schema: schema(&action.input_schema, &place("input_schema"))?,
        output_schema: schema(&action.output_schema, &place("output_schema"))?,
        id: action.id,
        description: action.description,
    })
}

/// An action without a schema takes, or gives, any object.
fn schema(text: &Bytes, place: &str) -> Result<Value, ManifestError> {
    if text.is_empty() {
        return Ok(json!({ "type": "object" }));
    }
    serde_json::from_slice(text).map_err(|e| ManifestError::Invalid {
        place: place.to_owned(),
        problem: format!("is no JSON: {e}"),
    })
}

/// Whoever says this may have proven nothing: what it is made into must not take much more memory than it has bytes.
fn weigh(info: &v1::InfoResponse) -> Result<(), ManifestError> {
    let texts = info.actions.iter();
    let texts = texts.flat_map(|action| [&action.input_schema, &action.output_schema]);
    let weight: usize = texts.map(|text| weight(text)).sum();
    let problem = format!(
        "their schemas would take some {} MiB of memory",
        weight >> 20
    );
    (weight <= SCHEMAS_WEIGHT_MAX).or_invalid("actions", &problem)
}

fn positive(ms: i64) -> Option<u64> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0)
}

fn to_message(action: &Action) -> v1::Action {
    v1::Action {
        id: action.id.clone(),
        description: action.description.clone(),
        permission: v1::Permission::from(action.permission).into(),
        input_schema: action.input_schema.to_string().into(),
        output_schema: action.output_schema.to_string().into(),
        idempotent: action.idempotent,
        lookup: action.lookup,
        plan: action.plan,
        settle_ms: to_ms(action.settle_ms),
        timeout_ms: to_ms(action.timeout_ms),
        ..v1::Action::default()
    }
}

fn to_ms(ms: Option<u64>) -> i64 {
    ms.map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX))
}

fn setting(param: v1::ConfigParam) -> Result<Setting, ManifestError> {
    let kind = SettingType::from_name(&param.r#type);
    let problem = format!(
        "`{}` is none of string, int, bool, duration, json",
        param.r#type
    );
    kind.is_some()
        .or_invalid(&format!("setting {}: type", param.key), &problem)?;
    Ok(Setting {
        kind: kind.unwrap_or(SettingType::String),
        required: param.required,
        default: Some(param.default).filter(|text| !text.is_empty()),
        description: param.description,
        secret: param.is_secret,
        key: param.key,
    })
}

fn to_param(setting: &Setting) -> v1::ConfigParam {
    v1::ConfigParam {
        key: setting.key.clone(),
        r#type: setting.kind.name().to_owned(),
        required: setting.required,
        default: setting.default.clone().unwrap_or_default(),
        description: setting.description.clone(),
        is_secret: setting.secret,
    }
}

impl SettingType {
    /// As it is written in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Duration => "duration",
            Self::Json => "json",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [
            Self::String,
            Self::Int,
            Self::Bool,
            Self::Duration,
            Self::Json,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}
