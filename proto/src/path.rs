//! The names under which the calls travel. Both forms of the protocol use the same.

/// The service that a plugin serves.
pub const PLUGIN_SERVICE: &str = "mirastack.plugin.v1.PluginService";
/// The service that the engine serves to plugins.
pub const ENGINE_SERVICE: &str = "mirastack.plugin.v1.EngineService";

/// `PluginService.Info`.
pub const INFO: &str = "/mirastack.plugin.v1.PluginService/Info";
/// `PluginService.GetSchema`.
pub const GET_SCHEMA: &str = "/mirastack.plugin.v1.PluginService/GetSchema";
/// `PluginService.Execute`.
pub const EXECUTE: &str = "/mirastack.plugin.v1.PluginService/Execute";
/// `PluginService.ExecuteStream`, native form only.
pub const EXECUTE_STREAM: &str = "/mirastack.plugin.v1.PluginService/ExecuteStream";
/// `PluginService.LookUp`, native form only.
pub const LOOK_UP: &str = "/mirastack.plugin.v1.PluginService/LookUp";
/// `PluginService.ConfigUpdated`.
pub const CONFIG_UPDATED: &str = "/mirastack.plugin.v1.PluginService/ConfigUpdated";
/// `PluginService.HealthCheck`.
pub const HEALTH_CHECK: &str = "/mirastack.plugin.v1.PluginService/HealthCheck";

/// `EngineService.RegisterPlugin`.
pub const REGISTER_PLUGIN: &str = "/mirastack.plugin.v1.EngineService/RegisterPlugin";
/// `EngineService.DeregisterPlugin`.
pub const DEREGISTER_PLUGIN: &str = "/mirastack.plugin.v1.EngineService/DeregisterPlugin";
/// `EngineService.Heartbeat`.
pub const HEARTBEAT: &str = "/mirastack.plugin.v1.EngineService/Heartbeat";
/// `EngineService.GetConfig`.
pub const GET_CONFIG: &str = "/mirastack.plugin.v1.EngineService/GetConfig";
/// `EngineService.CacheGet`.
pub const CACHE_GET: &str = "/mirastack.plugin.v1.EngineService/CacheGet";
/// `EngineService.CacheGetBatch`.
pub const CACHE_GET_BATCH: &str = "/mirastack.plugin.v1.EngineService/CacheGetBatch";
/// `EngineService.CacheSet`.
pub const CACHE_SET: &str = "/mirastack.plugin.v1.EngineService/CacheSet";
/// `EngineService.PublishResult`.
pub const PUBLISH_RESULT: &str = "/mirastack.plugin.v1.EngineService/PublishResult";
/// `EngineService.RequestApproval`.
pub const REQUEST_APPROVAL: &str = "/mirastack.plugin.v1.EngineService/RequestApproval";
/// `EngineService.LogEvent`.
pub const LOG_EVENT: &str = "/mirastack.plugin.v1.EngineService/LogEvent";
/// `EngineService.CallPlugin`.
pub const CALL_PLUGIN: &str = "/mirastack.plugin.v1.EngineService/CallPlugin";
/// `EngineService.ListKPIs`.
pub const LIST_KPIS: &str = "/mirastack.plugin.v1.EngineService/ListKPIs";
/// `EngineService.GetKPI`.
pub const GET_KPI: &str = "/mirastack.plugin.v1.EngineService/GetKPI";
