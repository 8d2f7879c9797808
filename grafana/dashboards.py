"""Writes all dashboards: grafana/generate runs it."""

import json
import sys
import traceback
from pathlib import Path


def main(folder: Path) -> None:
    import boards  # here, because a mistake in one of them is told like any other
    import kit

    kit.check(boards.ALL)
    texts = {f"{it.uid}.json": kit.rendered(it) for it in boards.ALL}
    empty = {place: fault for it in boards.ALL for place, fault in kit.may_be_empty(it).items()}
    written = folder / "dashboards"
    written.mkdir(parents=True, exist_ok=True)
    for stale in {it.name for it in written.glob("*.json")} - texts.keys():
        (written / stale).unlink()
    for name, text in texts.items():
        (written / name).write_text(text)
    (folder / "empty.json").write_text(json.dumps(empty, indent=2) + "\n")


def place(error: Exception) -> str:
    """The file and line of a mistake in Python."""
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        file, line, _, _ = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(file or '').name}, line {line}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:
        where = "" if type(error).__name__ == "Mistake" else f"{place(error)}: {type(error).__name__}: "
        sys.exit(f"grafana/generate: {where}{error}. Nothing was written.")
