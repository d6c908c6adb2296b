-- title: Protocol drift
-- words: For each protocol and week, how its Series were made: tube voltage, slice thickness, kernel.
-- role: sql
-- param: weeks int 12 So many weeks back.
-- param: protocol text - Only protocols whose name holds this; empty for all.
-- plot: lines x=week y=mean by=line
WITH made AS (
    SELECT instance.study_key, instance.series_key, date_trunc('week', min(instance.received_at)) AS week,
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
    SELECT week, protocol, 'KVP' AS setting, kvp::VARCHAR AS value, kvp AS number FROM made
    UNION ALL
    SELECT week, protocol, 'SliceThickness', thickness::VARCHAR, thickness FROM made
    UNION ALL
    SELECT week, protocol, 'ConvolutionKernel', kernel, NULL FROM made
)
SELECT week, protocol, setting, value, protocol || ', ' || setting AS line, count(*) AS series,
    round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY week, protocol, setting), 1) AS percent,
    round(sum(sum(number)) OVER (PARTITION BY week, protocol, setting)
        / sum(count(*)) OVER (PARTITION BY week, protocol, setting), 3) AS mean
FROM settings
WHERE value IS NOT NULL AND protocol IS NOT NULL
    AND contains(lower(protocol), lower($protocol::VARCHAR))
GROUP BY week, protocol, setting, value
ORDER BY protocol, setting, week, series DESC, value
