"""The common parts of all programs: flags, config files with overrides, exit codes.

This file imports only light modules, so that `--help` answers at once.

Exit codes of all programs: 0 finished; 1 failed; 2 the request was not understood and nothing was
written; 75 the run was asked to stop and is saved, run the same command again; 130 interrupted from
the keyboard with nothing to save.
"""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import inspect
import os
import re
import select
import shlex
import signal
import sys
import threading
import time
import traceback
import typing
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from absl import app, flags, logging

from experiments.config_files import changed, found_in, load_config, override
from library import logs
from library.config import ConfigError, nearest
from library.parallel import processes

FAILED = 1
UNDERSTOOD_NOT = 2
STOPPED = processes.STOPPED
INTERRUPTED = 130
MOST_SEED = 2**32 - 1
DEFAULT_CONFIG = "configs/cnn/digits.py"
CONFIG_HELP = (
    "Config file, PATH[:VARIANT]; see configs/. --config.KEY=VALUE changes a value; "
    "docs/config.md lists every key."
)
# Numbers of mallopt(3): M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX.
_KEEP = {-1: 2**31 - 1, -4: 0, -8: 1}
_GIVEN_BACK_EVERY = 60.0
_COUNT = re.compile(r"--xla_force_host_platform_device_count=\d+")
_OVERRIDE = re.compile(r"--?config\.([^=]+)(?:=(.*))?", re.DOTALL)
_overrides: dict[str, str] = {}
_words: list[str] = []
_ended = {"code": 1}


class Request(NamedTuple):
    """The run that a command line requests.

    Attributes:
      values: the config as plain values, with its overrides.
      identity: the origin of the config: its path, where the path was found, the variant, the
        overrides that change a value of the file, and the command.
      name: a short name of the config, for a directory.
    """

    values: dict[str, Any]
    identity: dict[str, Any]
    name: str


def run(
    main: Callable[[], int | None], *, configurable: bool = True, words: Sequence[str] = ()
) -> None:
    """Runs a program: parses the flags, joins the run's other processes, if any, and calls `main`.

    It exits with the code of `main`. Errors of this project become one or two lines on stderr.
    Other errors, and those of the user's own files, keep their traceback, below the shapes at hand.
    If such an error became one of this project's, the line comes last.
    If the reader of stdout goes away, as `head` does, the program ends without a message.

    Args:
      main: the program.
      configurable: whether it reads `--config.key=value`.
      words: descriptions of the words that may come before the flags, in order, such as
        "a command"; see `words`. If the last one ends with "...", it may be repeated.
    """

    # Python has None for a stream that was closed before it started.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if getattr(sys.modules["__main__"], main.__name__, None) is main:
        # Handlers that libraries register later run before this one.
        atexit.register(_leave)
    _keep_freed_memory()
    logging.set_verbosity(logging.WARNING)
    logs.hide_orbax()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        parser = functools.partial(_parse, expected=words, configurable=configurable)
        app.run(lambda _: _call(main, configurable), flags_parser=parser)
    except BaseException as ended:
        if isinstance(ended, BrokenPipeError) and _reader_is_gone():
            sys.exit(FAILED)
        code = ended.code if isinstance(ended, SystemExit) else FAILED
        _ended["code"] = code if isinstance(code, int) else FAILED if code else 0
        processes.abandon_unless(ended, (0, None, STOPPED))
        raise


def leave_when_asked() -> None:
    """Makes signals that ask a program to stop end it with STOPPED, until there is data to save.

    The loop has its own handlers, which save first. If several processes join later, JAX's service
    receives SIGTERM and tells the other processes. Other signals become a SIGTERM. Python keeps its
    handler of SIGINT.
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
    """Returns the words before the flags."""
    return list(_words)


def image_files(given: Sequence[str]) -> list[Path]:
    """Returns the files of a repeated flag; a name that does not exist is split at its commas."""
    return [
        Path(name).expanduser()
        for text in given
        for name in ([text] if Path(text).expanduser().exists() else text.split(","))
    ]


def flags_of(*functions: Callable) -> list[str]:
    """Returns the names of the flags that functions read: their keyword-only parameters.

    The parameter `class_` is the flag --class.
    """
    found = [inspect.signature(function).parameters.values() for function in functions]
    return [p.name.rstrip("_") for each in found for p in each if p.kind is p.KEYWORD_ONLY]


def values_for(function: Callable) -> dict[str, Any]:
    """Returns the arguments that `flags_of` names, with the values of the command line."""
    parameters = inspect.signature(function).parameters.values()
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    return {name: flags.FLAGS[name.rstrip("_")].value for name in named}


def define_flags(*functions: Callable) -> None:
    """Defines the flags that functions read and that do not exist yet.

    The annotation gives the type: an integer, a float, a bool, or otherwise a string. The default
    is that of the signature, or None.
    """
    define = {int: flags.DEFINE_integer, float: flags.DEFINE_float, bool: flags.DEFINE_bool}
    for function in functions:
        hints = typing.get_type_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            flag = name.rstrip("_")
            if parameter.kind is not parameter.KEYWORD_ONLY or flag in flags.FLAGS:
                continue
            kinds = [k for k in (typing.get_args(hints[name]) or (hints[name],)) if k in define]
            default = None if parameter.default is parameter.empty else parameter.default
            made = define[kinds[0]] if kinds else flags.DEFINE_string
            made(
                flag,
                default,
                f"Of {function.__module__.rpartition('.')[2]}.",
                module_name=sys.argv[0],
            )


def refuse_unread(
    what: str, read: Collection[str], also: Collection[str] = ("workdir", "which", "output")
) -> None:
    """Refuses flags of the command line that the request does not read.

    Args:
      what: the request for the message, such as "--attack=fgsm".
      read: names of the flags that the request reads, see `flags_of`.
      also: flags that the program itself reads.

    Raises:
      ConfigError: there is such a flag.
    """
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        if flag.present and flag.name not in (*read, *also):
            listed = ", ".join(f"--{name}" for name in dict.fromkeys((*read, *also)))
            raise ConfigError(f"--{flag.name} is not read with {what}, which reads {listed}")
        if flag.name == "config" and _overrides and "config" not in (*read, *also):
            key = next(iter(_overrides))
            raise ConfigError(f"--config.{key} is not read with {what}, which reads no config")


def divide_cpu(count: int) -> None:
    """Makes JAX find this many CPU devices and no others; call it before JAX finds devices."""
    forced = f"--xla_force_host_platform_device_count={count}"
    os.environ["XLA_FLAGS"] = f"{_COUNT.sub('', os.environ.get('XLA_FLAGS', ''))} {forced}"
    os.environ["JAX_PLATFORMS"] = "cpu"


def directory(flag: str, given: str | None) -> Path:
    """Returns the directory that a flag names.

    Raises:
      ConfigError: the command line does not have the flag.
    """
    if not given:
        raise ConfigError(f"--{flag} is missing: name the workdir of a run by --{flag}=DIR")
    return Path(given).expanduser()


def request(config: str) -> Request:
    """Reads `--config=PATH[:VARIANT]` and the `--config.key=value` overrides of this command.

    Raises:
      ConfigError: there is no such file, variant or key, or a value has another type.
    """
    values, path, variant = load_config(config, _overrides)
    identity = {
        "path": path,
        "found": found_in(config),
        "variant": variant,
        "overrides": changed(config, values, _overrides),
        "command": _command(),
    }
    parts = [Path(path).parent.name, Path(path).stem, variant]
    parts += [f"{key}={text}" for key, text in sorted(_overrides.items())]
    name = "-".join(re.sub(r"[^\w.=+-]+", "_", part) for part in parts if part)
    if len(name) > 120:
        # The hash keeps directories with equal beginnings distinct.
        name = f"{name[:110]}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"
    return Request(values, identity, name)


def request_of(folder: Path) -> Request:
    """Reads the config of the run in a workdir, with the overrides of the run and of this command.

    Raises:
      ConfigError: an error of `recorded`.
    """
    from library.reporting import runs
    from library.run import workdir

    values, origin = recorded(folder), workdir.read_identity(folder)
    path, variant = origin.get("path", ""), origin.get("variant", "")
    given = {**runs.overrides({"_config": origin}), **_overrides}
    overrides = changed(f"{path}:{variant}" if variant else path, values, given)
    kept = {"path": path, "found": origin.get("found", ""), "variant": variant}
    identity = {**kept, "overrides": overrides, "command": _command()}
    return Request(values, identity, folder.name)


def recorded(folder: Path) -> dict[str, Any]:
    """Reads the config of the run in a workdir, and applies the overrides of the command line.

    Raises:
      ConfigError: the directory contains no run or a run of another version, or as `override`.
    """
    from library.run import recipe, workdir

    values = workdir.read_config(folder)
    try:
        recipe.read(values)
    except ConfigError as error:
        raise ConfigError(
            f"{folder} contains a run that this version does not understand, perhaps of a newer "
            f"version: {error}"
        ) from error
    for key, text in _overrides.items():
        override(values, key, text)
    return values


def _parse(argv: Sequence[str], expected: Sequence[str], configurable: bool) -> list[str]:
    rest = []
    arguments = list(argv)
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            # The arguments after "--" belong to another program.
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
        more = "; --config.KEY=VALUE sets a value of the config" if configurable else ""
        _end(f"unknown flag {given!r}: {nearest(given, known)}{more}", UNDERSTOOD_NOT)
    except flags.Error as error:
        _end(error, UNDERSTOOD_NOT)
    except SystemExit:
        # absl ends with 1 after it has shown its help.
        _reader_is_gone()
        sys.exit(0)
    several = bool(expected) and expected[-1].endswith("...")
    if len(left) > 1 + len(expected) and not several:
        more = f" after {' and '.join(expected)}" if expected else ""
        _end(
            f"{left[1 + len(expected)]!r} is not a flag: write flags as --name=value{more}",
            UNDERSTOOD_NOT,
        )
    _words[:] = left[1:]
    return left


def give_back_memory() -> None:
    """Returns freed memory to the system, if the C library is glibc."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _keep_freed_memory() -> None:
    """Makes the C library keep large freed blocks for the next step of the program.

    On CPU each step allocates its temporary memory again. By default glibc returns it to the system
    each time, and the system clears it again page by page, which takes a tenth to a sixth of a
    training step. Kept memory fragments over an hour, and the program grows, so unused memory is
    returned once a minute.
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
    # This project's lists are indented; long messages of libraries become one line.
    if len(lines) > 2 and not all(line.startswith("  ") for line in lines[1:]):
        lines = [" ".join(line.strip() for line in lines)]
    # The exit code still shows the failure if stderr is closed.
    with contextlib.suppress(OSError):
        print("error: " + "\n".join(lines), file=sys.stderr, flush=True)
    sys.exit(code)


def _call(main: Callable[[], int | None], configurable: bool) -> NoReturn:
    """Calls a program and exits with its code; an error becomes a message and its exit code."""
    try:
        if _overrides and not configurable:
            raise ConfigError(
                f"--config.{next(iter(_overrides))}: this program reads no config; leave it out"
            )
        processes.connect()
        code = main() or 0
        sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        _end("interrupted; run the same command again", INTERRUPTED)
    except Exception as error:
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    """Ends the program with the message of an error, or raises an error that needs its traceback.

    An error of a file of one's own needs it, whatever it became on its way.
    """
    from library.run import own_files

    own = own_files.own_error(error)
    if own is None and (hidden := own_files.behind(error)):
        with contextlib.suppress(OSError):
            print(own_files.described(hidden), file=sys.stderr, flush=True)
    if own is None and isinstance(error, ConfigError):
        _end(error, UNDERSTOOD_NOT)
    if own is None and isinstance(error, OSError):
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            sys.exit(FAILED)
        _end(f"{error}{_place_of(error)}", FAILED)
    if own is None and _no_backend(error):
        _end(_no_backend(error), UNDERSTOOD_NOT)
    if own is None and own_files.is_written_for_users(error):
        _end(error, FAILED)
    # Nothing that goes wrong in the description may hide the error.
    with contextlib.suppress(Exception):
        print(own_files.at_hand(own or error), file=sys.stderr, flush=True)
    own_files.raise_own(error)
    raise error


def _leave() -> None:
    """Ends the process with its code, after all other handlers of `atexit`.

    Otherwise the interpreter, while it ends, could end a thread of a C++ library in the library's
    own code, which aborts the process.
    """
    try:
        # If JAX was imported before this program, its own handler would come too late.
        processes.leave()
        _reader_is_gone()
        sys.stderr.flush()
    finally:
        os._exit(_ended["code"])


def _reader_is_gone() -> bool:
    """Returns whether nobody reads stdout any more, and if so drops the rest of the output."""
    try:
        place = sys.stdout.fileno()
    except (OSError, ValueError):
        # In this process stdout is replaced by an object that is not a file.
        return False
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        gone = True
    else:
        waiting = select.poll()
        waiting.register(place, 0)
        gone = any(state & select.POLLERR for _, state in waiting.poll(0))
    if gone:
        # Otherwise the interpreter tries to flush again at its end, and reports an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), place)
    return gone


def _no_backend(error: Exception) -> str | None:
    """Returns the message for an error of JAX that finds none of the devices in JAX_PLATFORMS."""
    asked, frames = os.environ.get("JAX_PLATFORMS"), traceback.extract_tb(error.__traceback__)
    if not asked or not frames or Path(frames[-1].filename).stem != "xla_bridge":
        return None
    text = str(error).partition("\n")[0] or "JAX finds none of them"
    return f"JAX_PLATFORMS={asked} asks for devices that are not here: {text}. Unset it to use any"


def _place_of(error: OSError) -> str:
    """Returns a hint about the settings that move folders out of an unwritable home directory."""
    named, home = str(error.filename or error), os.path.expanduser("~")
    if home == "/" or home not in named:
        return ""
    places = "TFDS_DATA_DIR or --config.dataset.data_dir (data)", "MPLCONFIGDIR (matplotlib)"
    return (
        f"; {home} is the home directory: JAX_COMPILATION_CACHE_DIR or --config.compile_cache "
        f"(compiled programs), {' and '.join(places)} set other folders"
    )


def _command() -> str:
    return "python -m " + _module() + "".join(f" {shlex.quote(a)}" for a in sys.argv[1:])


def _module() -> str:
    return f"experiments.{Path(sys.argv[0]).stem}"
