//! How plugins name their tenant: ours by its name, those of the JSON form by an id that is made from it.

use engine::id::Tenant;
use proto::wire::Form;
use uuid::Uuid;

/// All their SDKs make the id in this name space.
const NAMESPACE: Uuid = Uuid::from_u128(0xf9f3_a4d4_2c64_5b9e_9e25_8a8b_6f6f_6f6f);

/// The tenant of that name or id.
pub(super) fn find<'a>(tenants: &'a [Tenant], text: &str) -> Option<&'a Tenant> {
    let id = Uuid::try_parse(text).ok();
    tenants
        .iter()
        .find(|tenant| tenant.as_str() == text || id == Some(id_of(tenant)))
}

/// How a plugin of that form is told its tenant.
pub(super) fn told(tenant: &Tenant, form: Form) -> String {
    match form {
        Form::Protobuf => tenant.to_string(),
        Form::Json(_) => id_of(tenant).to_string(),
    }
}

fn id_of(tenant: &Tenant) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("tenant:{tenant}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_found_by_its_name_and_by_the_id_that_the_public_agents_have_for_it() {
        for (name, id) in [
            ("acme", "824a1531-d24a-549c-8003-23b0f2d206cd"),
            ("default", "b81b7c16-bfb1-5486-87b5-dd509512be63"),
            ("team-a", "ec5427a4-600d-5cf6-9c16-24d82077cbc5"),
        ] {
            let tenants = ["other", name].map(|name| Tenant::new(name).expect("a name"));
            for text in [name, id] {
                assert_eq!(find(&tenants, text), tenants.get(1), "{text}");
            }
            assert_eq!(find(&tenants[..1], id), None);
        }
    }
}
