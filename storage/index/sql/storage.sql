-- title: Storage by age
-- words: Objects and gigabytes that came in, by how long ago; what has left the spool since counts too.
-- role: sql
-- plot: bars x=age y=gigabytes by=Modality
WITH aged AS (
    SELECT series.Modality, instance.length_bytes,
        date_diff('day', instance.received_at, $now::TIMESTAMP) AS days
    FROM instance
    JOIN series ON series.study_key = instance.study_key AND series.series_key = instance.series_key
)
SELECT
    CASE WHEN days < 1 THEN 'today' WHEN days < 7 THEN 'under a week'
        WHEN days < 30 THEN 'under a month' WHEN days < 90 THEN 'under three months'
        WHEN days < 365 THEN 'under a year' ELSE 'older' END AS age,
    coalesce(Modality, '') AS Modality,
    count(*) AS objects,
    round(sum(length_bytes) / 1e9, 3) AS gigabytes
FROM aged
GROUP BY ALL
ORDER BY min(days), Modality
