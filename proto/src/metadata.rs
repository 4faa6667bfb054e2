//! The metadata that travels beside messages.

/// The plugin's registration token, `Bearer …`, on each call to the engine.
pub const AUTHORIZATION: &str = "authorization";
/// The secret that the starter of a co-located plugin gave it, on each call to the plugin.
pub const CALL_SECRET: &str = "x-mirastack-call-secret";
/// The caller's name, on each call to the engine.
pub const PLUGIN_NAME: &str = "x-plugin-name";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
