"""`phalanx serve`: a page in the browser."""

import argparse

from phalanx.cli.common import Verbs, add_device, add_quiet, add_verb, add_weights, sayer

_HELP = """\
Serves a page on this machine: drop a photo or a clip on it, or let it use the webcam, and see joints and mesh on the picture, the hands
to be turned in 3D, angles in degrees and over time, and files to take away. It works without a network, and keeps nothing.

Only this machine can reach it, unless --host says where else it listens; then name it with --allow as others call it. There are no
accounts: who can reach it can use it.

examples:
  phalanx serve
  phalanx serve --port 9000 --threads 2
  phalanx serve --host 0.0.0.0 --allow lab-pc.local
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "serve", "a page in the browser: drop a photo or a clip, or use the webcam", _HELP, job)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    parser.add_argument(
        "--allow", nargs="+", default=[], metavar="NAME", help="names by which other machines call this one"
    )
    parser.add_argument("--threads", type=int, default=1, help="hands are predicted for so many at once (default: 1)")
    add_weights(parser)
    add_device(parser)
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import uvicorn

    from phalanx.core.errors import InputError
    from phalanx.predict.predictor import Predictor
    from phalanx.serve.app import LOCAL, make_app
    from phalanx.serve.limits import Limits

    if not 0 < args.port < 65536:
        raise InputError(f"--port: must be 1 to 65535, not {args.port}")
    if not 1 <= args.threads <= 64:
        raise InputError(f"--threads: must be 1 to 64, not {args.threads}")
    limits = Limits()
    named = [] if args.host in ("0.0.0.0", "::") else [f"[{args.host}]" if ":" in args.host else args.host]
    app = make_app(Predictor(args.weights, args.device), limits, (*LOCAL, *named, *args.allow), args.threads)
    sayer(args.quiet)(
        f"http://{'localhost' if args.host in ('127.0.0.1', '0.0.0.0') else args.host}:{args.port}/ (end with Ctrl+C)"
    )
    config = uvicorn.Config(
        app,
        args.host,
        args.port,
        log_level="error",
        limit_concurrency=128,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=3,
        ws="websockets-sansio",
        ws_max_size=limits.frame_bytes,
        ws_max_queue=4,
        server_header=False,
    )
    try:
        uvicorn.Server(config).run()
    except SystemExit as error:  # uvicorn's, with a line on standard error
        raise InputError(f"--host, --port: {args.host}:{args.port} cannot be listened on") from error
    return 0
