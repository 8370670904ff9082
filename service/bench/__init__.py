"""Load on a running service: `affectsr bench`.

connection.py is the client, connections.py its connections; load.py sends requests, in a closed
loop or at a given rate; report.py says what came of them; stub.py is a service whose engine only
takes time; command.py is the command line.

Client and server are two processes always. The client parses replies in C and does next to nothing
else, but on a small machine even that is taken from the server: `--client-core` keeps it on one
core, and the stub on the others, and the report says how much of a core the client was busy and how
late it sent. Late means that the client, not the service, was the limit.
"""
