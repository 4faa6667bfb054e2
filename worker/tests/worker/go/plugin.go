package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Plugin is what the engine calls.
type Plugin struct {
	engine *Engine
	pushed sync.Map
}

var service = grpc.ServiceDesc{
	ServiceName: "mirastack.plugin.v1.PluginService",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		method("Info", (*Plugin).info),
		method("GetSchema", (*Plugin).schema),
		method("Execute", (*Plugin).execute),
		method("HealthCheck", (*Plugin).health),
		method("ConfigUpdated", (*Plugin).configured),
	},
}

func method[Q, A any](name string, answer func(*Plugin, context.Context, *Q) (*A, error)) grpc.MethodDesc {
	handler := func(srv any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := new(Q)
		if err := read(request); err != nil {
			return nil, err
		}
		return answer(srv.(*Plugin), ctx, request)
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

func (p *Plugin) info(context.Context, *Empty) (*Info, error) {
	declared := []Param{{"query", "string", true, "What."}}
	for _, name := range []string{"why", "level", "context", "then"} {
		declared = append(declared, Param{name, "string", false, "Of a question."})
	}
	params, err := json.Marshal(declared)
	if err != nil {
		return nil, err
	}
	return &Info{
		Name: name, Version: "0.3.0", Description: "Says what it was asked.",
		Type: 1, Permission: 1, DevopsStages: []int{8}, InstanceID: p.engine.instance,
		ConfigSchema: []Setting{{"url", "string", false, "Nothing."}},
		Actions: []Action{
			{"read", "Says what it was asked.", 1, []int{8}, params},
			{"change", "Says what it was asked.", 2, []int{7}, nil},
		},
	}, nil
}

func (p *Plugin) schema(context.Context, *Empty) (*Schema, error) {
	return &Schema{[]byte("null"), []byte("null")}, nil
}

func (p *Plugin) configured(_ context.Context, request *Config) (*Acknowledged, error) {
	for key, value := range request.Config {
		p.pushed.Store(key, value)
	}
	return &Acknowledged{Acknowledged: true}, nil
}

func (p *Plugin) health(ctx context.Context, _ *Empty) (*Health, error) {
	var config Config
	request := ConfigRequest{name, p.engine.tenant}
	if err := p.engine.call(ctx, "GetConfig", &request, &config); err != nil {
		return &Health{Message: err.Error()}, nil
	}
	if config.Config["url"] == "broken" {
		return &Health{Message: "the back end is down"}, nil
	}
	return &Health{Healthy: true, Message: "ok"}, nil
}

func (p *Plugin) execute(ctx context.Context, request *ExecuteRequest) (*ExecuteResponse, error) {
	var params map[string]string
	if err := json.Unmarshal(request.Params, &params); err != nil {
		return &ExecuteResponse{Error: "invalid params JSON: " + err.Error()}, nil
	}
	told := map[string]any{"action": request.ActionID, "mode": request.ExecutionMode, "params": params}
	pushed, _ := p.pushed.Load("url")
	told["url"] = pushed
	told["time_range"] = request.TimeRange
	var err error
	switch params["query"] {
	case "fail":
		told = map[string]any{"error": "as you wish"}
	case "cache":
		err = p.cache(ctx, told)
	case "call back":
		p.callBack(ctx, request, told)
	case "wait":
		<-ctx.Done()
	case "ask":
		p.ask(ctx, request, params, told)
	case "call":
		p.other(ctx, params["agent"], params["params"], told)
	case "circle":
		p.other(ctx, name, `{"action":"read","query":"circle"}`, told)
	case "tell":
		p.tell(ctx, request, params["of"], told)
	}
	if err != nil {
		told = map[string]any{"error": err.Error()}
	}
	result, err := json.Marshal(told)
	return &ExecuteResponse{Success: true, Result: result}, err
}

// Values are bytes of any kind: the public agents keep compressed ones.
func (p *Plugin) cache(ctx context.Context, told map[string]any) error {
	tenant := p.engine.tenant
	all := make([]byte, 256)
	for place := range all {
		all[place] = byte(place)
	}
	large := bytes.Repeat(all, 12_000)
	for key, value := range map[string][]byte{"all": all, "large": large, "gzip": {0x1f, 0x8b, 0, 0xff}} {
		var set CacheSet
		request := CacheRequest{Key: key, Value: value, TTL: 60, TenantID: tenant}
		if err := p.engine.call(ctx, "CacheSet", &request, &set); err != nil || !set.Success {
			return fmt.Errorf("CacheSet %s: %v %v", key, set.Success, err)
		}
	}
	for key, expected := range map[string][]byte{"all": all, "large": large, "none": nil} {
		var entry CacheEntry
		if err := p.engine.call(ctx, "CacheGet", &CacheRequest{Key: key, TenantID: tenant}, &entry); err != nil {
			return err
		}
		if !bytes.Equal(entry.Value, expected) || entry.Found != (expected != nil) {
			return fmt.Errorf("CacheGet %s: %d bytes, %v", key, len(entry.Value), entry.Found)
		}
	}
	// They are kept, and too long for what this side takes of an answer, the second one only as base64: then they are
	// not found, which is no error.
	for key, value := range map[string][]byte{"huge": bytes.Repeat(all, 15<<12), "wide": bytes.Repeat(all, 14<<10)} {
		var set CacheSet
		request := CacheRequest{Key: key, Value: value, TTL: 60, TenantID: tenant}
		if err := p.engine.call(ctx, "CacheSet", &request, &set); err != nil || !set.Success {
			return fmt.Errorf("CacheSet %s: %v %v", key, set.Success, err)
		}
		var none CacheEntry
		err := p.engine.call(ctx, "CacheGet", &CacheRequest{Key: key, TenantID: tenant}, &none)
		if err != nil || none.Found {
			return fmt.Errorf("CacheGet %s: %v %v", key, none.Found, err)
		}
	}
	var many CacheBatch
	two := CacheRequest{Keys: []string{"gzip", "large", "large", "all"}, TenantID: tenant}
	if err := p.engine.call(ctx, "CacheGetBatch", &two, &many); err != nil {
		return err
	}
	for place, found := range []bool{true, true, false, false} {
		if entry := many.Entries[place]; entry.Found != found || entry.Key != two.Keys[place] {
			return fmt.Errorf("CacheGetBatch %d: %s %v", place, entry.Key, entry.Found)
		}
	}
	var batch CacheBatch
	request := CacheRequest{Keys: []string{"gzip", "none", "all"}, TenantID: tenant}
	if err := p.engine.call(ctx, "CacheGetBatch", &request, &batch); err != nil {
		return err
	}
	for _, entry := range batch.Entries {
		told[entry.Key] = hex.EncodeToString(entry.Value)
	}
	return nil
}

// Calls another agent. The action is named in the parameters, as the helpers of the public SDKs do it.
func (p *Plugin) other(ctx context.Context, target, params string, told map[string]any) {
	var answer CallResponse
	request := CallRequest{name, target, []byte(params), 0, p.engine.tenant}
	err := p.engine.call(ctx, "CallPlugin", &request, &answer)
	told["code"], told["why"] = status.Code(err).String(), answer.Error
	told["result"] = json.RawMessage("null")
	if answer.Success {
		told["result"] = json.RawMessage(answer.Result)
	}
}

// Asks people, and says what it was told.
func (p *Plugin) ask(ctx context.Context, request *ExecuteRequest, params map[string]string, told map[string]any) {
	level, _ := strconv.Atoi(params["level"])
	approval := ApprovalRequest{
		ExecutionID: request.ExecutionID, Description: params["why"], Permission: level,
		Context: []byte(params["context"]), TenantID: p.engine.tenant,
		BlastRadius: &BlastRadius{"pod", []string{"api-1"}, "namespace", true, 1, "One pod."},
	}
	var answer ApprovalResponse
	say("asks: %s", params["why"])
	err := p.engine.call(ctx, "RequestApproval", &approval, &answer)
	say("told: %v %v", answer, err)
	told["code"], told["answer"] = status.Code(err).String(), answer
	if params["then"] == "wait" {
		if _, waited := p.pushed.LoadOrStore("waited", true); !waited {
			<-ctx.Done()
		}
	}
}

// Logs a line that names its execution, or another one, or none.
func (p *Plugin) tell(ctx context.Context, request *ExecuteRequest, of string, told map[string]any) {
	data := []byte(`{}`)
	switch of {
	case "own":
		data = fmt.Appendf(nil, `{"execution_id":%q}`, request.ExecutionID)
	case "":
	default:
		data = fmt.Appendf(nil, `{"execution_id":%q}`, of)
	}
	line := LogRequest{name, "of " + request.ExecutionID, data, "info", p.engine.tenant}
	told["code"] = status.Code(p.engine.call(ctx, "LogEvent", &line, &Acknowledged{})).String()
}

// What each call-back is answered: its status, and what its answer says.
func (p *Plugin) callBack(ctx context.Context, request *ExecuteRequest, told map[string]any) {
	tenant := p.engine.tenant
	ask := func(method string, request, answer any) {
		name, _, _ := strings.Cut(method, " ")
		code := status.Code(p.engine.call(ctx, name, request, answer)).String()
		told[method] = map[string]any{"code": code, "answer": answer}
	}
	data := []byte(`{"a":"1","n":["✓",2]}`)
	ask("LogEvent", &LogRequest{name, "said by a call-back", data, "warn", tenant}, &Acknowledged{})
	ask("PublishResult", &PublishRequest{request.ExecutionID, "", data, true, "", tenant}, &Acknowledged{})
	failed := PublishRequest{request.ExecutionID, "", nil, false, "no more today", tenant}
	ask("PublishResult of a failure", &failed, &Acknowledged{})
	ask("ListKPIs", &KPIRequest{TenantID: tenant}, &KPIs{})
	ask("GetKPI", &KPIRequest{TenantID: tenant, KPIID: "none"}, &KPIs{})
	ask("CallPlugin", &CallRequest{name, "other", []byte(`{"action":"x"}`), 0, tenant}, &CallResponse{})
	approval := ApprovalRequest{request.ExecutionID, "", "May I?", 2, data, 0, tenant, nil}
	ask("RequestApproval", &approval, &ApprovalResponse{})
}
