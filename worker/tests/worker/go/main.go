// An agent on grpc-go that speaks the JSON form of the protocol, as the public Go agents do: it registers until it is
// let in, says that it lives, registers again when it is asked to, is called and calls back, and says good-bye.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
)

const name = "gopher"

type jsonCodec struct{}

func (jsonCodec) Name() string                          { return "json" }
func (jsonCodec) Marshal(value any) ([]byte, error)     { return json.Marshal(value) }
func (jsonCodec) Unmarshal(data []byte, into any) error { return json.Unmarshal(data, into) }

// Engine is the other side.
type Engine struct {
	conn     *grpc.ClientConn
	tenant   string
	instance string
	address  string
}

func (e *Engine) call(ctx context.Context, method string, request, answer any) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-plugin-name", name)
	return e.conn.Invoke(ctx, "/mirastack.plugin.v1.EngineService/"+method, request, answer)
}

func (e *Engine) register() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := RegisterRequest{name, "0.3.0", e.address, e.instance, e.tenant, 1}
	var answer RegisterResponse
	if err := e.call(ctx, "RegisterPlugin", &request, &answer); err != nil {
		return err
	}
	if !answer.Success {
		return fmt.Errorf("refused: %s", answer.Error)
	}
	return nil
}

// As the public agents do, for ever; faster than they, for it is tests that wait.
func (e *Engine) registered() {
	for wait := 100 * time.Millisecond; ; wait = min(wait*2, time.Second) {
		err := e.register()
		if err == nil {
			say("registered")
			return
		}
		say("not registered: %v", err)
		time.Sleep(wait)
	}
}

// Without an interval of its own it takes the one that the engine asks for, as the public agents do.
func (e *Engine) live(own time.Duration) {
	interval := max(own, time.Second)
	e.registered()
	for {
		time.Sleep(interval)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var answer HeartbeatResponse
		err := e.call(ctx, "Heartbeat", &InstanceRequest{name, e.instance}, &answer)
		cancel()
		if err == nil && answer.ReRegisterRequired {
			say("asked to register again")
			e.registered()
		}
		asked := time.Duration(answer.IntervalSeconds) * time.Second
		if own == 0 && asked > 0 && asked != interval {
			interval = asked
			say("says every %v that it lives, as it is asked to", interval)
		}
	}
}

func (e *Engine) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var answer Acknowledged
	err := e.call(ctx, "DeregisterPlugin", &InstanceRequest{name, e.instance}, &answer)
	say("deregistered: %v %v", answer.Acknowledged, err)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func must[T any](value T, err error) T {
	if err != nil {
		say("%v", err)
		os.Exit(1)
	}
	return value
}

func main() {
	encoding.RegisterCodec(jsonCodec{})
	seconds := 0
	if own := os.Getenv("MIRASTACK_PLUGIN_HEARTBEAT_INTERVAL"); own != "" {
		seconds = must(strconv.Atoi(own))
	}
	listener := must(net.Listen("tcp", os.Getenv("MIRASTACK_PLUGIN_ADDR")))
	conn := must(grpc.NewClient(os.Getenv("MIRASTACK_ENGINE_ADDR"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.CallContentSubtype("json"))))
	engine := &Engine{
		conn:     conn,
		tenant:   os.Getenv("MIRASTACK_PLUGIN_TENANT_ID"),
		instance: fmt.Sprintf("gopher-%d", os.Getpid()),
		address:  listener.Addr().String(),
	}
	server := grpc.NewServer()
	server.RegisterService(&service, &Plugin{engine: engine})
	go engine.live(time.Duration(seconds) * time.Second)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ended
		engine.leave()
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		say("%v", err)
	}
}
