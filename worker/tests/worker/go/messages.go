package main

// The messages of the protocol in the JSON form of the Go dialect: bytes are base64, which encoding/json does itself.

type Empty struct{}

type RegisterRequest struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	GrpcAddr   string `json:"grpc_addr"`
	InstanceID string `json:"instance_id"`
	TenantID   string `json:"tenant_id"`
	PluginType int    `json:"plugin_type"`
}

type RegisterResponse struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
}

type InstanceRequest struct {
	Name       string `json:"name"`
	InstanceID string `json:"instance_id"`
}

type HeartbeatResponse struct {
	Acknowledged       bool  `json:"acknowledged"`
	ReRegisterRequired bool  `json:"re_register_required"`
	IntervalSeconds    int64 `json:"heartbeat_interval_seconds"`
}

type Acknowledged struct {
	Acknowledged bool   `json:"acknowledged"`
	Error        string `json:"error"`
}

type ConfigRequest struct {
	PluginName string `json:"plugin_name"`
	TenantID   string `json:"tenant_id"`
}

type Config struct {
	Config  map[string]string `json:"config"`
	Version int64             `json:"version"`
}

type Param struct {
	Name, Type  string
	Required    bool
	Description string
}

type Action struct {
	ID          string `json:"id"`
	Description string `json:"description"`
	Permission  int    `json:"permission"`
	Stages      []int  `json:"stages"`
	InputParams []byte `json:"input_params,omitempty"`
}

type Info struct {
	Name         string            `json:"name"`
	Version      string            `json:"version"`
	Description  string            `json:"description"`
	Type         int               `json:"type"`
	Permission   int               `json:"permission"`
	DevopsStages []int             `json:"devops_stages"`
	Intents      []Empty           `json:"default_intents"`
	Actions      []Action          `json:"actions,omitempty"`
	ConfigSchema []Setting         `json:"config_schema,omitempty"`
	Metadata     map[string]string `json:"metadata"`
	InstanceID   string            `json:"instance_id"`
}

type Setting struct {
	Key         string `json:"key"`
	Type        string `json:"type"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
}

type Schema struct {
	Params []byte `json:"params_json_schema"`
	Result []byte `json:"result_json_schema"`
}

type ExecuteRequest struct {
	ExecutionID   string            `json:"execution_id"`
	StepID        string            `json:"step_id"`
	ActionID      string            `json:"action_id"`
	Params        []byte            `json:"params_json"`
	ExecutionMode int               `json:"execution_mode"`
	Context       map[string]string `json:"context"`
	TenantID      string            `json:"tenant_id"`
	TimeRange     *TimeRange        `json:"time_range"`
}

type TimeRange struct {
	Start int64 `json:"start_epoch_ms"`
	End   int64 `json:"end_epoch_ms"`
}

type ExecuteResponse struct {
	Success    bool   `json:"success"`
	Result     []byte `json:"result_json"`
	Error      string `json:"error"`
	DurationMs int64  `json:"duration_ms"`
}

type Health struct {
	Healthy bool              `json:"healthy"`
	Message string            `json:"message"`
	Details map[string]string `json:"details"`
}

type CacheRequest struct {
	Key      string   `json:"key,omitempty"`
	Keys     []string `json:"keys,omitempty"`
	Value    []byte   `json:"value,omitempty"`
	TTL      int64    `json:"ttl_seconds,omitempty"`
	TenantID string   `json:"tenant_id"`
}

type CacheEntry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
	Found bool   `json:"found"`
}

type CacheBatch struct {
	Entries []CacheEntry `json:"entries"`
}

type CacheSet struct {
	Success bool `json:"success"`
}

type PublishRequest struct {
	ExecutionID string `json:"execution_id"`
	StepID      string `json:"step_id"`
	Result      []byte `json:"result_json"`
	Success     bool   `json:"success"`
	Error       string `json:"error"`
	TenantID    string `json:"tenant_id"`
}

type LogRequest struct {
	PluginName string `json:"plugin_name"`
	EventType  string `json:"event_type"`
	Data       []byte `json:"data_json"`
	Severity   string `json:"severity"`
	TenantID   string `json:"tenant_id"`
}

type CallRequest struct {
	CallerPlugin string `json:"caller_plugin"`
	TargetPlugin string `json:"target_plugin"`
	Params       []byte `json:"params_json"`
	Timeout      int64  `json:"timeout_seconds"`
	TenantID     string `json:"tenant_id"`
}

type CallResponse struct {
	Success bool   `json:"success"`
	Result  []byte `json:"result_json"`
	Error   string `json:"error"`
}

type ApprovalRequest struct {
	ExecutionID string `json:"execution_id"`
	StepID      string `json:"step_id"`
	Description string `json:"description"`
	Permission  int    `json:"required_permission"`
	Context     []byte `json:"context_json"`
	Timeout     int64  `json:"timeout_seconds"`
	TenantID    string `json:"tenant_id"`

	BlastRadius *BlastRadius `json:"blast_radius,omitempty"`
}

type BlastRadius struct {
	ResourceType   string   `json:"resource_type"`
	Resources      []string `json:"resources,omitempty"`
	Scope          string   `json:"scope"`
	Reversible     bool     `json:"reversible"`
	EstimatedCount int64    `json:"estimated_count,omitempty"`
	Summary        string   `json:"summary"`
}

type ApprovalResponse struct {
	Approved bool   `json:"approved"`
	TimedOut bool   `json:"timed_out"`
	Reviewer string `json:"reviewer"`
	Comment  string `json:"comment"`
}

type KPIRequest struct {
	TenantID string `json:"tenant_id"`
	KPIID    string `json:"kpi_id,omitempty"`
}

type KPIs struct {
	KPIs []Empty `json:"kpis"`
	KPI  *Empty  `json:"kpi"`
}
