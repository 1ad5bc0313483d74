"""Writing the ground truth in a process that is killed: the old files stay."""

from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.child_process import OPEN_PLATFORM, READY, kill, started
from capsim_dagster_tests.support.sabotage import files_under

STOP_BEFORE_PUBLISHING = f"""{OPEN_PLATFORM}
from capsim_dagster.simulated import truth as ground_truth
from capsim_dagster.pipeline import stages
def stop(*_):
    {READY}
ground_truth.StoredTruth = stop
stages.ground_truth(platform)
"""


def test_write_killed_when_all_files_are_whole_leaves_the_old_ones(platform: Platform) -> None:
    before = files_under(platform.layout.truth)
    with started(STOP_BEFORE_PUBLISHING, platform.settings.model_dump_json()) as writer:
        kill(writer)
    assert {name: content for name, content in files_under(platform.layout.truth).items() if name[0] != "."} == before

    stages.ground_truth(platform)
    assert files_under(platform.layout.truth) == before
