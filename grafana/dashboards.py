"""Writes all dashboards: grafana/generate runs it."""

import json
import sys
from pathlib import Path

import boards
import kit


def main(folder: Path) -> None:
    written = folder / "dashboards"
    written.mkdir(parents=True, exist_ok=True)
    texts = {f"{it.uid}.json": kit.rendered(it) for it in boards.ALL}
    for stale in {it.name for it in written.glob("*.json")} - texts.keys():
        (written / stale).unlink()
    for name, text in texts.items():
        (written / name).write_text(text)
    empty = [each for it in boards.ALL for each in kit.may_be_empty(it)]
    (folder / "empty.json").write_text(json.dumps(empty, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except kit.Mistake as mistake:
        sys.exit(f"grafana/generate: {mistake} Nothing was written.")
