-- title: Protocol drift
-- words: For each protocol and week, how its Series were made: tube voltage, slice thickness, kernel. The drawing falls where they are made in another way than usual.
-- role: sql
-- param: weeks int 12 So many weeks back.
-- param: protocol text - Only protocols whose name holds this; empty for all.
-- plot: lines x=week y=as_usual_percent by=line
WITH made AS (
    SELECT instance.study_key, instance.series_key,
        date_trunc('week', min(instance.received_at))::DATE AS week,
        any_value(acquisition.ProtocolName) AS protocol,
        mode(acquisition.KVP) AS kvp,
        mode(acquisition.SliceThickness) AS thickness,
        mode(acquisition.ConvolutionKernel) AS kernel
    FROM acquisition
    JOIN instance ON instance.instance_key = acquisition.instance_key
    WHERE instance.received_at
        BETWEEN $now::TIMESTAMP - to_days(7 * $weeks::INTEGER) AND $now::TIMESTAMP
    GROUP BY ALL
),
settings AS (
    SELECT week, protocol, 'KVP' AS setting, kvp::VARCHAR AS value FROM made
    UNION ALL
    SELECT week, protocol, 'SliceThickness', thickness::VARCHAR FROM made
    UNION ALL
    SELECT week, protocol, 'ConvolutionKernel', kernel FROM made
),
counted AS (
    SELECT week, protocol, setting, value, count(*) AS series
    FROM settings
    WHERE value IS NOT NULL AND protocol IS NOT NULL
        AND contains(lower(protocol), lower($protocol::VARCHAR))
    GROUP BY ALL
),
usual AS (
    SELECT protocol, setting, arg_max(value, total) AS usual
    FROM (SELECT protocol, setting, value, sum(series) AS total FROM counted GROUP BY ALL)
    GROUP BY ALL
)
SELECT week, protocol, setting, value, series,
    round(100.0 * series / sum(series) OVER its_week, 1) AS percent, usual,
    round(100.0 * sum(CASE WHEN value = usual THEN series ELSE 0 END) OVER its_week
        / sum(series) OVER its_week, 1) AS as_usual_percent,
    protocol || ', ' || setting AS line
FROM counted JOIN usual USING (protocol, setting)
WINDOW its_week AS (PARTITION BY week, protocol, setting)
ORDER BY protocol, setting, week, series DESC, value
