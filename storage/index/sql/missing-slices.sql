-- title: Series with missing slices
-- words: Series whose instance numbers have gaps, or of which more was announced than came.
-- role: sql
-- param: days int 7 So many days back.
WITH announced AS (
    SELECT study_key, series_key, arg_max(missing, revision) AS missing,
        arg_max(reason, revision) AS settled_because
    FROM series_revision
    GROUP BY ALL
),
counted AS (
    SELECT study_key, series_key, count(*) AS objects, min(received_at) AS first_received_at,
        max(InstanceNumber) - min(InstanceNumber) + 1 - count(DISTINCT InstanceNumber) AS gaps
    FROM instance
    WHERE origin <> 'ai'
    GROUP BY ALL
)
SELECT counted.first_received_at, counted.study_key, counted.series_key, series.Modality,
    series.StationName, series.ProtocolName, counted.objects,
    coalesce(counted.gaps, 0) AS gaps,
    coalesce(announced.missing, 0) AS announced_and_missing,
    announced.settled_because
FROM counted
JOIN series ON series.study_key = counted.study_key AND series.series_key = counted.series_key
LEFT JOIN announced ON announced.study_key = counted.study_key
    AND announced.series_key = counted.series_key
WHERE (announced.missing > 0 OR (counted.gaps > 0 AND series.Modality IN ('CT', 'MR', 'PT', 'NM')))
    AND counted.first_received_at
        BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
ORDER BY counted.first_received_at DESC, counted.series_key
