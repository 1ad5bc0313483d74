"""All settings: frozen models read from `config/config.yaml`, the environment and the command line.

Unknown keys, values out of range and contradictions are errors that name the key, what was found and what is allowed;
nothing is written before they are settled. No global instance: settings are passed as arguments.
"""

from capsim_dagster.settings.directory import RECORD_NAME as RECORD_NAME
from capsim_dagster.settings.directory import Chosen as Chosen
from capsim_dagster.settings.directory import Kind as Kind
from capsim_dagster.settings.directory import choose_settings as choose_settings
from capsim_dagster.settings.directory import chosen_alone as chosen_alone
from capsim_dagster.settings.directory import directory_settings as directory_settings
from capsim_dagster.settings.directory import leaves_of as leaves_of
from capsim_dagster.settings.directory import read_record as read_record
from capsim_dagster.settings.directory import record_content as record_content
from capsim_dagster.settings.directory import record_of as record_of
from capsim_dagster.settings.feed import DEFAULT_DIRT as DEFAULT_DIRT
from capsim_dagster.settings.feed import INJECTED_FILE_FAULTS as INJECTED_FILE_FAULTS
from capsim_dagster.settings.feed import INJECTED_LINE_FAULTS as INJECTED_LINE_FAULTS
from capsim_dagster.settings.feed import INJECTED_TRAITS as INJECTED_TRAITS
from capsim_dagster.settings.feed import Defects as Defects
from capsim_dagster.settings.feed import FeedColumns as FeedColumns
from capsim_dagster.settings.feed import LegacyFeed as LegacyFeed
from capsim_dagster.settings.feed import Refinery as Refinery
from capsim_dagster.settings.fleet import Correlation as Correlation
from capsim_dagster.settings.fleet import Department as Department
from capsim_dagster.settings.fleet import LoadShift as LoadShift
from capsim_dagster.settings.fleet import Metadata as Metadata
from capsim_dagster.settings.fleet import Region as Region
from capsim_dagster.settings.fleet import ServerType as ServerType
from capsim_dagster.settings.load import CONFIG_ENV as CONFIG_ENV
from capsim_dagster.settings.load import DEFAULT_CONFIG_ENV as DEFAULT_CONFIG_ENV
from capsim_dagster.settings.load import find_config as find_config
from capsim_dagster.settings.load import load_settings as load_settings
from capsim_dagster.settings.load import named_config as named_config
from capsim_dagster.settings.load import shipped as shipped
from capsim_dagster.settings.model import Automation as Automation
from capsim_dagster.settings.model import DataGeneration as DataGeneration
from capsim_dagster.settings.model import Settings as Settings
from capsim_dagster.settings.model import settings_hash as settings_hash
from capsim_dagster.settings.panel import Flag as Flag
from capsim_dagster.settings.panel import Panel as Panel
from capsim_dagster.settings.panel import PanelMetric as PanelMetric
from capsim_dagster.settings.panel import PanelQuality as PanelQuality
from capsim_dagster.settings.panel import PanelValidation as PanelValidation
from capsim_dagster.settings.publication import Archive as Archive
from capsim_dagster.settings.publication import Retention as Retention
from capsim_dagster.settings.sections import Weighted as Weighted
from capsim_dagster.settings.telemetry import ANOMALY_SLOT_DAYS as ANOMALY_SLOT_DAYS
from capsim_dagster.settings.telemetry import OUTAGE_SLOT_DAYS as OUTAGE_SLOT_DAYS
from capsim_dagster.settings.telemetry import Anomalies as Anomalies
from capsim_dagster.settings.telemetry import Bursts as Bursts
from capsim_dagster.settings.telemetry import Calendar as Calendar
from capsim_dagster.settings.telemetry import Gaps as Gaps
from capsim_dagster.settings.telemetry import Metric as Metric
from capsim_dagster.settings.telemetry import Noise as Noise
