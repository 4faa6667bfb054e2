//! Reads a hook.

use crate::definition::{Hook, HookAuth, HookType, Rate};
use crate::language::document;
use crate::language::read::{Fields, Reader, join};
use crate::principal::Role;
use crate::yaml::Node;

/// Types of the contract that come later.
const LATER_TYPES: &[&str] = &["gitlab", "gitea", "cloudevents", "standard"];
/// Where GitHub signs, and what stands before the digits. The older `X-Hub-Signature` is SHA-1, and proves nothing.
const GITHUB_SIGNATURE: (&str, &str) = ("x-hub-signature-256", "sha256=");
/// Two values may be valid at once, while rotating.
const VALUES_MAX: usize = 2;

impl Reader {
    pub(super) fn hook(&mut self, node: &Node) -> Option<Hook> {
        let fields = self.fields::<document::Hook>(node, "", &[])?;
        let name = self.name_of(&fields, "hook");
        let kind = self.hook_type(&fields);
        let auth = match fields.get("auth") {
            Some(auth) => self.auth(auth, kind),
            None => {
                self.problem(node.at, "", "auth: say how the sender proves itself");
                None
            }
        };
        let hook = Hook {
            name: name?,
            description: self.optional_text(&fields, "description"),
            kind: kind?,
            auth: auth?,
            role: fields
                .get("role")
                .and_then(|n| self.word(n, "/role"))
                .unwrap_or(Role::Operator),
            rate: fields.get("rate").and_then(|n| self.rate(n, "/rate")),
            headers: fields
                .get("headers")
                .map(|n| self.headers(n, "/headers"))
                .unwrap_or_default(),
            dedupe: self.dedupe(&fields),
        };
        self.check_generic(&fields, &hook);
        Some(hook)
    }

    fn hook_type(&mut self, fields: &Fields<'_>) -> Option<HookType> {
        let Some(node) = fields.get("type") else {
            self.problem(fields.node.at, "", "type: say what comes in");
            return None;
        };
        if node
            .scalar()
            .is_some_and(|s| LATER_TYPES.contains(&s.text.as_str()))
        {
            let hint = Some("alertmanager, github and generic are".to_owned());
            self.hinted(
                node.at,
                "/type",
                "this type is not supported in this version",
                hint,
            );
            return None;
        }
        self.word(node, "/type")
    }

    fn auth(&mut self, node: &Node, kind: Option<HookType>) -> Option<HookAuth> {
        let pointer = "/auth";
        let fields = self.fields::<document::Auth>(node, pointer, &[])?;
        let github = kind == Some(HookType::Github);
        if github && fields.get("hmac").is_none() {
            let hint = Some("hmac: { secrets: [\"${{ secrets.NAME }}\"] }".to_owned());
            self.hinted(node.at, pointer, "GitHub signs: it needs hmac", hint);
            return None;
        }
        match (
            fields.get("bearer"),
            fields.get("basic"),
            fields.get("hmac"),
        ) {
            (Some(node), None, None) => {
                Some(HookAuth::Bearer(self.values(node, &fields.at("bearer"))?))
            }
            (None, Some(node), None) => {
                Some(HookAuth::Basic(self.values(node, &fields.at("basic"))?))
            }
            (None, None, Some(node)) if github => self.github_hmac(node, &fields.at("hmac")),
            (None, None, Some(node)) => self.hmac(node, &fields.at("hmac")),
            _ => {
                self.problem(
                    node.at,
                    pointer,
                    "write exactly one of bearer, basic and hmac",
                );
                None
            }
        }
    }

    fn hmac(&mut self, node: &Node, pointer: &str) -> Option<HookAuth> {
        let fields = self.fields::<document::Hmac>(node, pointer, &[])?;
        let (Some(header), Some(secrets)) = (fields.get("header"), fields.get("secrets")) else {
            self.problem(node.at, pointer, "hmac needs header and secrets");
            return None;
        };
        let header = self
            .text(header, &fields.at("header"))?
            .to_ascii_lowercase();
        let secrets = self.values(secrets, &fields.at("secrets"))?;
        let prefix = self.optional_text(&fields, "prefix").unwrap_or_default();
        Some(HookAuth::Hmac {
            header,
            prefix,
            secrets,
        })
    }

    fn github_hmac(&mut self, node: &Node, pointer: &str) -> Option<HookAuth> {
        let fields = self.fields::<document::Hmac>(node, pointer, &[])?;
        for key in ["header", "prefix"] {
            if let Some(node) = fields.get(key) {
                let message = format!("{key}: GitHub has its own, so leave it out");
                self.problem(node.at, &fields.at(key), message);
            }
        }
        let Some(secrets) = fields.get("secrets") else {
            self.problem(node.at, pointer, "hmac needs secrets");
            return None;
        };
        let (header, prefix) = GITHUB_SIGNATURE;
        Some(HookAuth::Hmac {
            header: header.to_owned(),
            prefix: prefix.to_owned(),
            secrets: self.values(secrets, &fields.at("secrets"))?,
        })
    }

    /// One or two secrets; each is `${{ secrets.NAME }}`, so that no document holds one.
    fn values(&mut self, node: &Node, pointer: &str) -> Option<Vec<String>> {
        let list = self.list(node, pointer)?;
        if list.is_empty() || list.len() > VALUES_MAX {
            self.problem(node.at, pointer, "one value, or two while rotating");
            return None;
        }
        let mut values = Vec::new();
        for (index, node) in list.iter().enumerate() {
            let pointer = join(pointer, &index.to_string());
            let text = self.text(node, &pointer)?;
            match secret_name(text) {
                Some(name) => values.push(name.to_owned()),
                None => {
                    let hint = Some(
                        "miractl secret set NAME, then \"${{ secrets.NAME }}\" here".to_owned(),
                    );
                    self.hinted(
                        node.at,
                        &pointer,
                        "a secret is never written into a document",
                        hint,
                    );
                }
            }
        }
        Some(values)
    }

    fn rate(&mut self, node: &Node, pointer: &str) -> Option<Rate> {
        let fields = self.fields::<document::Rate>(node, pointer, &[])?;
        let (Some(max), Some(per)) = (fields.get("max"), fields.get("per")) else {
            self.problem(node.at, pointer, "rate needs max and per");
            return None;
        };
        let max = self.number(max, &fields.at("max"), 1, 1_000_000)?;
        let per = self.parsed(per, &fields.at("per"))?;
        Some(Rate { max, per })
    }

    fn headers(&mut self, node: &Node, pointer: &str) -> Vec<String> {
        let mut headers = Vec::new();
        for (index, node) in self
            .list(node, pointer)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            if let Some(header) = self.text(node, &join(pointer, &index.to_string())) {
                headers.push(header.to_ascii_lowercase());
            }
        }
        headers
    }

    fn dedupe(&mut self, fields: &Fields<'_>) -> Option<String> {
        let node = fields.get("dedupe")?;
        let text = self.expression(node, "/dedupe")?;
        (text != "none").then_some(text)
    }

    fn check_generic(&mut self, fields: &Fields<'_>, hook: &Hook) {
        let is_generic = hook.kind == HookType::Generic;
        if is_generic && fields.get("dedupe").is_none() {
            let hint = Some("such as event.body.id, or none".to_owned());
            self.hinted(
                fields.node.at,
                "",
                "dedupe: say what makes two deliveries one",
                hint,
            );
        }
        for key in ["headers", "dedupe"] {
            if let Some(node) = fields.get(key).filter(|_| !is_generic) {
                self.problem(
                    node.at,
                    &fields.at(key),
                    format!("{key} belongs to the type generic"),
                );
            }
        }
    }
}

/// The name in `${{ secrets.NAME }}`.
fn secret_name(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${{")?.strip_suffix("}}")?.trim();
    let name = inner.strip_prefix("secrets.")?;
    let ok = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    ok.then_some(name)
}
