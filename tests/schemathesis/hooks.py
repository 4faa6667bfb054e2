"""What is not asked of the server that is tested: to take away the key of whoever tests it, and to wait for long."""

import os

import schemathesis

OWN = os.environ["SCHEMATHESIS_OWN_KEY"]


@schemathesis.hook
def before_call(context, case, kwargs):
    named = (case.path_parameters or {}).get("name")
    if case.method.upper() == "DELETE" and case.operation.path == "/api/v1/api-keys/{name}" and named == OWN:
        case.path_parameters["name"] = "somebody-else"
    if (case.query or {}).get("wait") not in (None, ""):
        if str(case.query["wait"]).isdigit():
            case.query["wait"] = 1
