"""The engine of the page in both browsers, sample by sample."""

import pytest

from tests.page.node import BROWSERS, require_page, run_node
from tests.page.sounds import write_sounds

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    require_page(*BROWSERS)
    return write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.mark.parametrize("browser", BROWSERS)
def test_engine_plays_every_sample(browser: str, sounds: dict[str, str]) -> None:
    run_node("engine.test.mjs", browser=browser, timeout_s=200, **sounds)
