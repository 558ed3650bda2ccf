"""Runs last: from here on the kernel is one of ours."""

# Sent in twice (an agent that found its kernel again), the first stays.
if 'nbos_ping_request' not in HELPER.kernel.shell_handlers:
    install()
