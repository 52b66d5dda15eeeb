"""Makes ``docs/images/report.png``: the report of a real climb, as headless Chromium shows its first screen.

Run ``python docs/_tools/report_picture.py`` where ``chromium`` is installed; it climbs with the reference model.
"""

import subprocess
import tempfile
from pathlib import Path

import promptkit as pk

PICTURE = Path(__file__).resolve().parents[1] / "images" / "report.png"

task, data = pk.load_task("apples"), pk.load_examples("apples")
data = pk.Data(data.train, data.dev, data.test[:100], name=data.name)
rungs = [pk.FewShot(task, shots=0), pk.FewShot(task, shots=4), pk.FewShot(task, shots=4, ask="reasoned")]
result = pk.climb(task, data, pk.LocalBackend("reference"), target={"exact_match": 0.8}, rungs=rungs)
with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "report.html"
    pk.write_report(result.record, page)
    PICTURE.parent.mkdir(exist_ok=True)
    subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--window-size=1100,960", f"--screenshot={PICTURE}", page.as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} kB")
