"""Models small enough to know what they say, one word, one intent; and a browser that looks at pages."""

import base64
import contextlib
import fcntl
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from jobs import generate, pipeline
from jobs.config import AppConfig, EvaluationConfig, with_settings
from preprocessing.config import CorpusConfig, DatasetConfig, GeneratorConfig
from training.config import ModelConfig, TrainingConfig
from training.registry import RegistryConfig

Maker = Callable[..., str]
Ran = Callable[[Path, Mapping[str, Any]], AppConfig]


@pytest.fixture(scope="session")
def ran_pipeline(spark: SparkSession) -> Ran:
    """ran_pipeline(base, settings) is the configuration of a finished pipeline of seconds, all of it below `base`."""

    def run(base: Path, settings: Mapping[str, Any]) -> AppConfig:
        config = AppConfig(
            corpus=CorpusConfig(path=(str(base / "corpus"),), dialog_id="dialog_id", turn="turn", speaker="speaker"),
            dataset=DatasetConfig(path=str(base / "dataset"), files_per_split=1),
            model=ModelConfig(architecture="fasttext", embedding_size=16),
            training=TrainingConfig(path=str(base / "run"), processes=1, epochs=1, learning_rate=0.01),
            evaluation=EvaluationConfig(path=str(base / "report")),
            registry=RegistryConfig(path=str(base / "registry")),
            generator=GeneratorConfig(rows=2_000),
        )
        config = with_settings(config, settings)
        generate.run(spark, config)
        pipeline.run(spark, config)
        return config

    return run


@pytest.fixture
def make_model(tmp_path: Path) -> Maker:
    """make_model(run, {word: intent}) writes `run/model`: a text is taken as most of its known words say.

    Unknown words say "other", which is the out-of-scope label. What else is given is part of the model's lineage.
    """
    from training.quiet import import_tensorflow

    import_tensorflow()
    import keras

    from training.export import write_model

    def make(run: str, says: Mapping[str, str], **more: Any) -> str:
        labels = sorted({*says.values(), "other"})
        words = ["[PAD]", "[UNK]", *says]
        votes = np.zeros((len(words), len(labels)), np.float32)
        for word, intent in zip(words[1:], ["other", *says.values()], strict=True):
            votes[words.index(word), labels.index(intent)] = 4.0
        model = keras.Sequential(
            [
                keras.layers.Embedding(len(words), len(labels), mask_zero=True),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Softmax(),
            ]
        )
        model(np.ones((1, 3), np.int32))
        model.layers[0].set_weights([votes])
        lineage = {
            "out_of_scope": "other", "dataset": "none", "fingerprint": run, "corpus": {"path": []}, "model": {},
            "training": {}, "versions": {}, "trained_at": "2026-11-20T18:00:00Z",
            **more,
        }  # fmt: skip
        uri = (tmp_path / run / "model").as_uri()
        write_model(model, words, labels, "words", 12, lineage, uri)
        return uri

    return make


TROUBLE = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")


class Browser:
    """Chromium without a window, asked through a pipe in the DevTools protocol."""

    def __init__(self, program: str, directory: Path) -> None:
        asked, self.asking = os.pipe()
        answering, answered = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (asked, answered)]  # clear of 3 and 4
        command = 'exec "$@" 3<&{} 4>&{}'.format(*ends)
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={directory}",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", program, *options], pass_fds=ends, stderr=subprocess.DEVNULL
        )
        for end in (asked, answered, *ends):
            os.close(end)
        self.answers = os.fdopen(answering, "rb")
        self.unread, self.session, self.number, self.trouble = b"", "", 0, list[str]()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers; what else it says meanwhile is heard."""
        self._send(method, params)
        number = self.number
        while (said := self._hear()).get("id") != number:
            pass
        assert "error" not in said, f"{method}: {said}"
        return dict(said["result"])

    def open(self, uri: str, width: int, scheme: str) -> None:
        """Shows a page and waits until it is loaded."""
        self.trouble = []
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=features)
        self._send("Page.navigate", {"url": uri})
        while self._hear().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is on the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self) -> np.ndarray:
        """What is to be seen, uint8 [height, width]: 0 is black."""
        data = base64.b64decode(self.ask("Page.captureScreenshot")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("L"))

    def close(self) -> None:
        """Ends the browser."""
        self.session = ""
        self.ask("Browser.close")
        self.process.wait(30)
        os.close(self.asking)
        self.answers.close()

    def _send(self, method: str, params: Mapping[str, Any]) -> None:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        os.write(
            self.asking, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            part = os.read(self.answers.fileno(), 1 << 20)
            assert part, "the browser ended"
            self.unread += part
        message, _, self.unread = self.unread.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        if said.get("method") in TROUBLE:
            self.trouble.append(json.dumps(said))
        if said.get("method") == "Page.javascriptDialogOpening":
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        return said


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, installed where there is none."""
    script = Path(__file__).parents[2] / "scripts" / "browser.sh"
    program = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with contextlib.closing(Browser(program, tmp_path_factory.mktemp("browser"))) as found:
        yield found


@pytest.fixture
def look_at(browser: Browser, tmp_path: Path) -> Callable[[str], None]:
    """look_at(page) fails unless a page is shown whole and quietly, on a desk and on a phone, by day and by night."""

    def look(page: str) -> None:
        file, brightness = tmp_path / "page.html", {}
        file.write_text(page)
        for scheme in ("light", "dark"):
            for width in (1200, 400):
                browser.open(file.as_uri(), width, scheme)
                browser.value("document.querySelectorAll('details').forEach(folded => folded.open = true)")
                assert browser.trouble == []
                assert browser.value("document.documentElement.scrollWidth") <= width, f"{scheme}, {width}"
                broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
                assert browser.value(broken) == 0
                assert browser.value("document.querySelectorAll('h2').length") > 1  # it is the page that is looked at
            brightness[scheme] = browser.picture().mean()
        assert brightness["dark"] < 100 and brightness["light"] > 155, brightness

    return look
