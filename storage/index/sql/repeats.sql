-- title: Repeated and rejected exposures
-- words: Projection images of the same body part and view within minutes, and those rejected afterwards.
-- role: sql
-- param: days int 30 So many days back.
-- param: minutes int 10 Exposures closer together than this count as repeated.
-- plot: bars x=StationName y=repeat_percent by=Modality
WITH exposures AS (
    SELECT
        coalesce(series.StationName, '') AS StationName,
        series.Modality,
        instance.study_key,
        instance.instance_key,
        coalesce(upper(acquisition.BodyPartExamined), '') AS body_part,
        coalesce(acquisition.ViewPosition, '') AS view,
        coalesce(acquisition.ImageLaterality, '') AS laterality,
        coalesce(instance.AcquisitionDateTime, instance.AcquisitionDate + instance.AcquisitionTime,
            instance.received_at) AS exposed_at,
        acquisition.QualityControlImage = 'YES' AS is_quality_control
    FROM instance
    JOIN series ON series.study_key = instance.study_key AND series.series_key = instance.series_key
    LEFT JOIN acquisition ON acquisition.instance_key = instance.instance_key
    WHERE series.Modality IN ('CR', 'DX', 'MG', 'IO', 'PX')
        AND instance.received_at
            BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
),
counted AS (
    SELECT *, exposed_at - lag(exposed_at) OVER (
        PARTITION BY study_key, StationName, body_part, view, laterality ORDER BY exposed_at
    ) AS since_last
    FROM exposures
    WHERE is_quality_control IS DISTINCT FROM true
)
SELECT
    StationName, Modality,
    count(*) AS exposures,
    count(*) FILTER (since_last <= to_minutes($minutes::INTEGER)) AS repeated,
    count(*) FILTER (instance_key IN (SELECT instance_key FROM rejection)) AS rejected,
    round(100.0 * repeated / exposures, 1) AS repeat_percent,
    round(100.0 * rejected / exposures, 1) AS reject_percent
FROM counted
GROUP BY StationName, Modality
ORDER BY repeat_percent DESC, StationName, Modality
