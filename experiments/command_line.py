"""What the programs share: flags, config files with overrides, exit codes.

Only light modules are imported here, so that `--help` answers at once.

Exit codes: 0 finished; 2 the request was not understood, nothing was written; 75 the run was asked
to stop and is saved, run the same command again; 130 interrupted from the keyboard where nothing
needed saving; 1 anything else.
"""

import ast
import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import inspect
import os
import re
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from absl import app, flags, logging

from library.config import ConfigError, nearest, plain
from library.parallel import processes

UNDERSTOOD_NOT = 2
STOPPED = processes.STOPPED
INTERRUPTED = 130
DEFAULT_CONFIG = "configs/digits/cnn.py"
_ROOT = Path(__file__).resolve().parents[1]
# Numbers of mallopt(3): M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX.
_KEEP = {-1: 2**31 - 1, -4: 0, -8: 1}
_GIVEN_BACK_EVERY = 60.0
_COUNT = re.compile(r"--xla_force_host_platform_device_count=\d+")
_OVERRIDE = re.compile(r"--?config\.([^=]+)(?:=(.*))?", re.DOTALL)
_overrides: dict[str, str] = {}
_words: list[str] = []


class Request(NamedTuple):
    """The run that a command line asks for.

    Attributes:
      values: the config, plain values, overrides applied.
      identity: where it came from: path, variant, overrides, command.
      name: a short name of it, for a directory.
    """

    values: dict[str, Any]
    identity: dict[str, Any]
    name: str


def run(
    main: Callable[[], int | None], *, configurable: bool = True, words: Sequence[str] = ()
) -> None:
    """Runs a program: parses the flags, joins the run's other processes, if any, and calls `main`.

    It exits with the code of `main`. The errors of this project say all there is to say, and become
    a line or two on stderr; others keep their traceback.

    Args:
      main: the program.
      configurable: whether it reads `--config.key=value`.
      words: what may stand before the flags, in order, such as "a command"; see `words`. There may
        be any number of the last, if it ends with "...".
    """

    def guarded(_: Sequence[str]) -> None:
        try:
            if _overrides and not configurable:
                raise ConfigError(f"there is no config here for --config.{next(iter(_overrides))}")
            processes.connect()
            sys.exit(main() or 0)
        except ConfigError as error:
            _end(error, UNDERSTOOD_NOT)
        except KeyboardInterrupt:
            _end("interrupted; run the same command again", INTERRUPTED)
        except OSError as error:
            _end(error, 1)
        except Exception as error:
            if not type(error).__module__.startswith("library."):
                raise
            _end(error, 1)

    _keep_freed_memory()
    logging.set_verbosity(logging.WARNING)
    # Orbax warns of what it does itself, such as a checkpoint read without its outer metadata.
    logging.get_absl_logger().addFilter(lambda record: "orbax" not in record.pathname)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        app.run(guarded, flags_parser=functools.partial(_parse, expected=words))
    except BaseException as ended:
        processes.abandon_unless(ended, (0, None, STOPPED))
        raise


def leave_when_asked() -> None:
    """Has a signal that asks a program to leave end it with STOPPED, as long as nothing is to save.

    The loop saves first, and has handlers of its own. Of several processes, which are joined after
    this, JAX's own service takes SIGTERM and tells the others; other signals come to it as that.
    SIGINT stays Python's.
    """

    def leave(*_: object) -> None:
        sys.exit(STOPPED)

    def hand_on(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    asking = processes.stopping_signals()
    for number in asking:
        if number != signal.SIGINT:
            direct = number == signal.SIGTERM or signal.SIGTERM not in asking
            signal.signal(number, leave if direct else hand_on)


def words() -> list[str]:
    """Returns the words that stood before the flags."""
    return list(_words)


def divide_cpu(count: int) -> None:
    """Has JAX, which has not looked for devices yet, find so many CPU devices and no others."""
    forced = f"--xla_force_host_platform_device_count={count}"
    os.environ["XLA_FLAGS"] = f"{_COUNT.sub('', os.environ.get('XLA_FLAGS', ''))} {forced}"
    os.environ["JAX_PLATFORMS"] = "cpu"


def directory(flag: str, given: str | None) -> Path:
    """Returns the directory that a flag names.

    Raises:
      ConfigError: the flag was not given.
    """
    if not given:
        raise ConfigError(f"--{flag}=DIR says which run: name the workdir of a run")
    return Path(given).expanduser()


def request(config: str) -> Request:
    """Reads `--config=PATH[:VARIANT]` and the `--config.key=value` overrides of this command.

    Raises:
      ConfigError: no such file, variant or key, or a value of another type than the key's.
    """
    values, path, variant = load_config(config)
    for key, text in _overrides.items():
        override(values, key, text)
    identity = {
        "path": path,
        "variant": variant,
        "overrides": dict(_overrides),
        "command": "python -m " + _module() + "".join(f" {shlex.quote(a)}" for a in sys.argv[1:]),
    }
    parts = [Path(path).parent.name, Path(path).stem, variant]
    parts += [f"{key}={text}" for key, text in sorted(_overrides.items())]
    name = "-".join(re.sub(r"[^\w.=+-]+", "_", part) for part in parts if part)
    if len(name) > 120:
        # What is cut off still tells directories apart.
        name = f"{name[:110]}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"
    return Request(values, identity, name)


def load_config(config: str) -> tuple[dict[str, Any], str, str]:
    """Loads `PATH[:VARIANT]`: the plain values, the path from the root, and the variant.

    A config is a Python file with `get_config(variant)` or `get_config()`; `VARIANTS`, where it
    has them, names the variants, the first being the default.

    Raises:
      ConfigError: there is no such file or variant.
    """
    name, _, variant = config.partition(":")
    path = next((p for p in (Path(name), _ROOT / name) if p.is_file()), None)
    if path is None:
        known = sorted(str(p.relative_to(_ROOT)) for p in (_ROOT / "configs").rglob("*.py"))
        raise ConfigError(f"no config file {name!r}: {nearest(name, known)}")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{name} has no function get_config(variant) or get_config()")
    variants = list(getattr(module, "VARIANTS", ()))
    if variant and not variants:
        raise ConfigError(f"{name} has no variants: write --config={name}, without :{variant}")
    if variant and variant not in variants:
        raise ConfigError(f"{name} has no variant {variant!r}: {nearest(variant, variants)}")
    variant = variant or (variants[0] if variants else "")
    resolved = path.resolve()
    shown = resolved.relative_to(_ROOT) if resolved.is_relative_to(_ROOT) else resolved
    takes_variant = bool(inspect.signature(module.get_config).parameters)
    values = module.get_config(variant) if takes_variant else module.get_config()
    return plain(values), str(shown), variant


def override(values: dict[str, Any], key: str, text: str) -> None:
    """Sets a dotted key of a config, `optimizer.learning_rate` or `augment.0.padding`.

    The text is a Python literal, `dict(name="flip_lr")` among them, or else a string. A key that
    the file leaves out may be set; what reads the config checks it.

    Raises:
      ConfigError: a key under a plain value, an index out of range, or a plain value of another
        type than before.
    """
    *parents, last = key.split(".")
    holder: Any = values
    for part in parents:
        if isinstance(holder, dict) and holder.get(part) is None:
            holder[part] = {}
        holder = holder[_place(holder, part, key)]
    place = _place(holder, last, key)
    known = holder.get(place) if isinstance(holder, dict) else holder[place]
    value = _literal(text)
    if isinstance(known, str) and not isinstance(value, str) and value is not None:
        value = text
    if isinstance(known, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    nested = isinstance(known, (dict, list)) and isinstance(value, (dict, list))
    if not nested and None not in (known, value) and type(value) is not type(known):
        raise ConfigError(
            f"--config.{key}={text} is of type {type(value).__name__}, expected "
            f"{type(known).__name__}, as in {known!r}"
        )
    holder[place] = value


def recorded(folder: Path) -> dict[str, Any]:
    """Reads the config of the run in a workdir, and applies this command's overrides.

    Raises:
      ConfigError: the directory holds no run, or as `override`.
    """
    from library.training import workdir

    values = workdir.read_config(folder)
    for key, text in _overrides.items():
        override(values, key, text)
    return values


class _DictCalls(ast.NodeTransformer):
    """Rewrites dict(a=1), as config files have it, into {"a": 1}."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrites one call, and those inside it."""
        self.generic_visit(node)
        named = all(keyword.arg for keyword in node.keywords) and not node.args
        if not named or not isinstance(node.func, ast.Name) or node.func.id != "dict":
            return node
        keys = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def _literal(text: str) -> Any:
    try:
        return plain(ast.literal_eval(_DictCalls().visit(ast.parse(text.strip(), mode="eval"))))
    except (ValueError, SyntaxError, TypeError):
        # "none" is a choice of several settings, such as dataset.cache.
        return {"true": True, "false": False}.get(text.lower(), text)


def _place(holder: Any, part: str, key: str) -> Any:
    if isinstance(holder, dict):
        return part
    if isinstance(holder, list) and part.isdigit() and int(part) < len(holder):
        return int(part)
    if isinstance(holder, list):
        valid = range(len(holder))
        raise ConfigError(
            f"--config.{key}: {part!r} is no place in this list: {nearest(part, valid)}. "
            "To add to a list, write all of it"
        )
    raise ConfigError(f"--config.{key}: {holder!r} is a plain value and has no {part!r}")


def _parse(argv: Sequence[str], expected: Sequence[str]) -> list[str]:
    rest = []
    arguments = list(argv)
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            # What follows belongs to another program.
            rest += [argument, *arguments]
            break
        match = _OVERRIDE.fullmatch(argument)
        if match is None:
            rest.append(argument)
            continue
        if match[2] is None and (not arguments or arguments[0].startswith("--")):
            _end(f"{argument} has no value: write {argument}=VALUE", UNDERSTOOD_NOT)
        _overrides[match[1]] = match[2] if match[2] is not None else arguments.pop(0)
    try:
        left = flags.FLAGS(rest)
    except flags.UnrecognizedFlagError as error:
        given = f"--{error.flagname}"
        known = [f"--{flag.name}" for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
        _end(f"unknown flag {given!r}: {nearest(given, known)}", UNDERSTOOD_NOT)
    except flags.Error as error:
        _end(error, UNDERSTOOD_NOT)
    except SystemExit:
        # absl ends with 1 after it has shown its help.
        sys.exit(0)
    several = bool(expected) and expected[-1].endswith("...")
    if len(left) > 1 + len(expected) and not several:
        more = f" after {' and '.join(expected)}" if expected else ""
        _end(
            f"{left[1 + len(expected)]!r} is no flag: flags are written --name=value{more}",
            UNDERSTOOD_NOT,
        )
    _words[:] = left[1:]
    return left


def give_back_memory() -> None:
    """Gives memory that was freed and kept back to the system, where the C library is glibc."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _keep_freed_memory() -> None:
    """Has the C library keep large blocks that are freed, for the next step of the program.

    On CPU a step allocates its temporary memory anew, and glibc would give it back to the system
    each time: to have it cleared again page by page took a tenth to a sixth of a step of training.
    What is kept falls to pieces over an hour, and the program grows; once a minute all that lies
    unused is given back.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt"):
        return
    for parameter, value in _KEEP.items():
        library.mallopt(parameter, value)

    def now_and_then():
        while True:
            time.sleep(_GIVEN_BACK_EVERY)
            give_back_memory()

    threading.Thread(target=now_and_then, daemon=True, name="give back memory").start()


def _end(reason: Exception | str, code: int) -> NoReturn:
    lines = str(reason).splitlines() or [type(reason).__name__]
    # Lists of ours are indented; what libraries say at length becomes one line.
    if len(lines) > 2 and not all(line.startswith("  ") for line in lines[1:]):
        lines = [" ".join(line.strip() for line in lines)]
    # The code says it, too, where nobody reads this.
    with contextlib.suppress(OSError):
        print("error: " + "\n".join(lines), file=sys.stderr, flush=True)
    sys.exit(code)


def _module() -> str:
    return f"experiments.{Path(sys.argv[0]).stem}"
