//! The environment variables and the first line of output by which a plugin and its starter find each other.

/// Where the engine serves `EngineService`: `host:port`, or `https://host:port` where it has a certificate. Unset: serve
/// without registering.
pub const ENGINE_ADDR: &str = "MIRASTACK_ENGINE_ADDR";
/// Where to listen: `host:port` or `unix:/path`. Unset: a free port on loopback.
pub const PLUGIN_ADDR: &str = "MIRASTACK_PLUGIN_ADDR";
/// Where the engine reaches the plugin, when that is not where it listens.
pub const ADVERTISE_ADDR: &str = "MIRASTACK_PLUGIN_ADVERTISE_ADDR";
/// The tenant that the plugin serves. Needed for registering.
pub const TENANT_ID: &str = "MIRASTACK_PLUGIN_TENANT_ID";
/// How often the plugin says that it lives, in whole seconds. Unset: as the engine asks it to.
pub const HEARTBEAT_INTERVAL: &str = "MIRASTACK_PLUGIN_HEARTBEAT_INTERVAL";
/// Who must have signed the certificate of an engine at `https://…`, in PEM.
pub const TLS_CA: &str = "MIRASTACK_PLUGIN_TLS_CA";
/// The plugin's own certificate and its key, in PEM: it serves TLS with them, and shows them to the engine.
pub const TLS_CERT: &str = "MIRASTACK_PLUGIN_TLS_CERT";
/// The key.
pub const TLS_KEY: &str = "MIRASTACK_PLUGIN_TLS_KEY";
/// Who must have signed the certificate that callers of the plugin show, in PEM.
pub const TLS_CLIENT_CA: &str = "MIRASTACK_PLUGIN_TLS_CLIENT_CA";
/// The registration token, which the plugin sends with each call to the engine.
pub const TOKEN: &str = "MIRASTACK_PLUGIN_TOKEN";
/// The secret that each call to the plugin must carry. Its presence says that the plugin was started by the
/// engine: it then ends when its standard input closes or its parent changes.
pub const CALL_SECRET: &str = "MIRASTACK_PLUGIN_CALL_SECRET";
/// A folder in which the plugin may keep files.
pub const DATA_DIR: &str = "MIRASTACK_PLUGIN_DATA_DIR";
/// What the plugin logs to standard error: `error`, `warn`, `info` (default), `debug` or `trace`.
pub const LOG: &str = "MIRASTACK_PLUGIN_LOG";

/// Begins the first line on standard output, once the plugin listens; the port follows. With a Unix socket
/// the port is 0.
pub const PORT_LINE: &str = "MIRASTACK_PLUGIN_PORT=";

/// The port that a line of that kind names. 0 is none.
#[must_use]
pub fn port(line: &str) -> Option<u16> {
    let port = line.strip_prefix(PORT_LINE)?.parse().ok();
    port.filter(|port| *port != 0)
}
