"""An agent on the released Python SDK, as its page shows one. With `repaired` the two faults of the SDK that keep the
engine from calling it are patched at the start: requests that are no dictionaries, and bytes that are no JSON."""

import sys

from mirastack_sdk import Action, Plugin, PluginInfo, PluginSchema, serve
from mirastack_sdk.plugin import (
    ConfigParam,
    DevOpsStage,
    ExecuteResponse,
    ParamSchema,
    Permission,
)


class Agent(Plugin):
    pushed = None

    def info(self):
        actions = [
            Action(
                id="read",
                description="Says what it was asked.",
                permission=Permission.READ,
                stages=[DevOpsStage.OBSERVE],
                input_params=[
                    ParamSchema("query", "string", True, "What."),
                    ParamSchema("why", "string", False, "Of a question."),
                ],
            ),
            Action(
                id="change",
                description="Says what it was asked.",
                permission=Permission.MODIFY,
                stages=[DevOpsStage.OPERATE],
            ),
        ]
        return PluginInfo(
            name="snake",
            version="0.2.0",
            description="Says what it was asked.",
            devops_stages=[DevOpsStage.OBSERVE],
            actions=actions,
            config_params=[ConfigParam("url", description="Nothing.")],
        )

    def schema(self):
        return PluginSchema(actions=self.info().actions)

    async def health_check(self):
        config = await self._engine_context.get_config()
        if config.get("url") == "broken":
            raise RuntimeError("the back end is down")

    async def config_updated(self, config):
        self.pushed = config

    def batch(self, keys):
        """As the SDK asks. It cannot take apart what it is answered, and hands on the objects as they came."""
        from mirastack_sdk.gen import plugin_pb2

        context = self._engine_context
        request = plugin_pb2.CacheGetBatchRequest(keys=keys, tenant_id=context.tenant_id)
        return context._stub.CacheGetBatch(request).entries

    async def execute(self, request):
        context, told = self._engine_context, {}
        if request.params.get("query") == "fail":
            return ExecuteResponse(output={"error": "as you wish"})
        if request.params.get("query") == "call back":
            await context.log_event("warn", "said by a call-back", {"a": "1", "n": ["✓", 2]})
            await context.log_event("debug", "without data")
            await context.cache_set("k", "v")
            told["cached"] = await context.cache_get("k")
            told["batch"] = self.batch(["k", "none", "k"])
            await context.publish_result(request.execution_id, {"a": "1"})
            told["kpis"] = await context.list_kpis()
            told["kpi"] = await context.get_kpi("none")
            try:
                await context.call_plugin("other", {"action": "x"})
            except Exception as refused:
                told["refused"] = str(refused.code())
        if request.params.get("query") == "ask":
            why = request.params["why"]
            told["approved"] = await context.request_approval(request.execution_id, why)
        if request.params.get("query") == "call":
            again = {"action": "read", "query": "again"}
            told["called"] = await context.call_plugin("snake", again)
        told.update(
            action=request.action_id,
            mode=request.mode.name,
            params=request.params,
            url=(await context.get_config()).get("url"),
            pushed=self.pushed,
        )
        if request.time_range:
            told["span"] = [request.time_range.start_epoch_ms, request.time_range.end_epoch_ms]
        return ExecuteResponse(output=told)


def repair():
    from mirastack_sdk.gen import plugin_pb2, plugin_pb2_grpc

    for name in ("ExecuteRequest", "ConfigUpdatedRequest"):
        request = getattr(plugin_pb2, name)
        request.get = lambda self, key, default=None: getattr(self, key, default)
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    serialize = plugin_pb2_grpc.json.dumps

    def dumps(value, **options):
        return serialize(value, default=text, **options)

    plugin_pb2_grpc.json = type("json", (), {"dumps": staticmethod(dumps), "loads": plugin_pb2_grpc.json.loads})


if sys.argv[1:] == ["repaired"]:
    repair()
serve(Agent())
