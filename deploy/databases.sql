-- Dagster's own database is made by the image; decisions and consents live in one of their own.
CREATE DATABASE spendsense;
