"""Every night: the labelled dialogs to a published model, and the day's new dialogs to predictions.

For Airflow 3. docs/scheduling.md says how to install it, and which variables and connection it reads.
conf/oozie/ holds the same steps; tests/conf/test_schedules.py holds the two equal.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.sdk import DAG, Context, CronTriggerTimetable, chain
from airflow.sdk.exceptions import AirflowException, AirflowFailException

HOME = "{{ var.value.parley_home }}"
CONFIG = "{{ var.value.get('parley_config', var.value.parley_home ~ '/conf/nightly.toml') }}"
DATA = "{{ var.value.get('parley_data', 'hdfs:///parley/nightly') }}"

# Everything of a day is in directories of that day: a repeated or late run touches nothing of another day.
CORPUS = DATA + "/corpus/{{ ds }}"  # all labelled dialogs, as they were that night
DIALOGS = DATA + "/dialogs/{{ ds }}"  # the day's new ones
DAY = DATA + "/days/{{ ds }}"
JOBS = {
    "preprocess": [f"corpus.path={CORPUS}", f"dataset.path={DAY}/dataset"],
    "train": [f"dataset.path={DAY}/dataset", f"training.path={DAY}/run"],
    "evaluate": [f"dataset.path={DAY}/dataset", f"training.path={DAY}/run", f"evaluation.path={DAY}/report"],
    "publish": [f"training.path={DAY}/run", f"evaluation.path={DAY}/report"],
    "score": ["registry.version=current", f"scoring.input={DIALOGS}", f"scoring.output={DAY}/scores"],
}
REFUSED = 2  # the jobs' exit code for what a retry does not mend: a refusal, or the caller's mistake
THERE = "import sys; from preprocessing import storage; sys.exit(not all(map(storage.exists, sys.argv[1:])))"


def command(*words: str) -> str:
    """A line for bash; shlex.join would quote the quotes inside the templates."""
    return " ".join(f"'{word}'" for word in words)


def submit(job: str, settings: list[str]) -> str:
    """The command of a job."""
    overrides = [word for setting in settings for word in ("--set", setting)]
    return command(f"{HOME}/scripts/submit.sh", job, "--config", CONFIG, *overrides)


class ParleyJob(BashOperator):
    """A job that scripts/submit.sh runs; a refusal fails at once, with the job's own line as the reason.

    SparkSubmitOperator is not used: in cluster mode it sees 1 for every failure, so that refusals would be retried,
    and it would need the settings of conf/spark/ and the packed environment a second time.
    """

    def execute(self, context: Context) -> None:
        """Runs the job; its last line on standard error is the reason where it ended with another code than 0."""
        result = self.subprocess_hook.run_command(["bash", "-c", self.bash_command], env=self.get_env(context))
        if result.exit_code == REFUSED:
            raise AirflowFailException(result.output)
        if result.exit_code:
            raise AirflowException(f"exit code {result.exit_code}: {result.output}")


alert = SmtpNotifier(  # or any other notifier: Slack, PagerDuty, Teams
    to="{{ var.value.get('parley_alert', 'root@localhost') }}",
    subject="Parley: {{ ti.task_id }} of {{ ds }} failed",
    html_content="<p>{{ exception | e }}</p><p><a href='{{ ti.log_url }}'>log</a></p>",
)

with DAG(
    dag_id="parley_nightly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),  # `ds` is the day on which the run starts
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        # Safe, since a finished output is left alone and training goes on from its checkpoint.
        "retries": 2,  # after 5 minutes, or what core.default_task_retry_delay says
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": alert,  # when there is no retry left, and at once for a refusal
    },
) as dag:
    arrived = BashSensor(
        task_id="arrived",
        bash_command=command(f"{HOME}/.venv/bin/python", "-c", THERE, f"{CORPUS}/_SUCCESS", f"{DIALOGS}/_SUCCESS"),
        mode="reschedule",
        poke_interval=timedelta(minutes=5),
        timeout=timedelta(hours=12),
    )
    jobs = {job: ParleyJob(task_id=job, bash_command=submit(job, settings)) for job, settings in JOBS.items()}
    # A backfilled day gets its model and report, but does not take the place of today's model.
    latest = LatestOnlyOperator(task_id="latest")
    chain(arrived, jobs["preprocess"], jobs["train"], jobs["evaluate"], latest, jobs["publish"], jobs["score"])
