/**
 * jupyter_kernel_test's suite, set up for our Python kernel. NBOS_SUITE names how the kernel is
 * reached: `kernelspec`, or through the gateway in the framing `v1` or `legacy`.
 */
export const KERNEL_SUITE = `
import os, sys, unittest
import jupyter_kernel_test as suite

way = os.environ["NBOS_SUITE"]
if way != "kernelspec":
    from jupyter_kernel_client.manager import KernelHttpManager
    from jupyter_kernel_client.wsclient import JupyterSubprotocol, WSSession

    # The client's own log line fails on a message without this field, which v1 does not have.
    deserialize = WSSession.deserialize
    WSSession.deserialize = lambda *words, **named: {"channel": "", **deserialize(*words, **named)}

    def start_new_kernel(kernel_name="python3", **_):
        framing = JupyterSubprotocol.V1 if way == "v1" else JupyterSubprotocol.DEFAULT
        manager = KernelHttpManager(
            server_url=os.environ["NBOS_URL"],
            token=os.environ["NBOS_TOKEN"],
            client_kwargs={"subprotocol": framing},
        )
        manager.start_kernel("python3")
        client = manager.client
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return manager, client

    suite.start_new_kernel = start_new_kernel

    # The client would ask over a connection that it has closed itself.
    def end(manager, **_):
        manager.client.stop_channels()

    KernelHttpManager.shutdown_kernel = end


class Kernel(suite.KernelTests):
    kernel_name = os.environ.get("NBOS_KERNEL_NAME", "python3")
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\\n  return x*2\\n\\n\\n"]
    incomplete_code_samples = ["print('''hello", "def f(x):\\n  x*2"]
    invalid_code_samples = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ]
    code_display_data = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
         "mime": "text/html"},
        {"code": "from IPython.display import Math, display; display(Math('x'))",
         "mime": "text/latex"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


result = unittest.main(argv=["suite"], exit=False, verbosity=2).result
sys.stdout.flush()
# The client's threads of some versions never end.
os._exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
`;
