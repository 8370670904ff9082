"""Scenarios of a service's life that need processes and load; README.md lists all 25.

    python -m tests.bench.scenarios [--full] [NUMBER...]

Without --full they are as short as in the tests (tests/e2e/test_scenarios.py), whose bounds on
times are wide, for other work may share the machine. --full is for a quiet one: client and server
are kept on different cores, the client on the last one.
"""
