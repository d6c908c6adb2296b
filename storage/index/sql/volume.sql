-- title: Volume by modality and hour
-- words: What came in: objects, Series, Studies and megabytes of each modality, hour by hour in UTC.
-- role: sql
-- param: days int 7 So many days back.
-- plot: bars x=hour y=objects by=Modality
SELECT
    date_trunc('hour', instance.received_at) AS hour,
    coalesce(series.Modality, '') AS Modality,
    count(*) AS objects,
    count(DISTINCT instance.series_key) AS series,
    count(DISTINCT instance.study_key) AS studies,
    round(sum(instance.length_bytes) / 1e6, 1) AS megabytes
FROM instance
JOIN series ON series.study_key = instance.study_key AND series.series_key = instance.series_key
WHERE instance.received_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
GROUP BY ALL
ORDER BY hour, Modality
