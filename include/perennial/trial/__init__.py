"""A trial: what one policy makes of a log, in memory and without Airflow; the judgement is the product's own."""
