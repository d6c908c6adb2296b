-- title: Agreement of shadows
-- words: Each number of a shadow version less that of the live one: bias and limits of agreement.
-- role: sql
-- param: days int 30 So many days back.
-- plot: bars x=output y=bias by=shadow
WITH number AS (
    SELECT id, beside, model, version, began_at, unnest(json_keys(outputs)) AS output, outputs
    FROM inference
    WHERE began_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
),
said AS (
    SELECT id, beside, model, version, output,
        json_extract_string(outputs, '$."' || output || '"')::DOUBLE AS value
    FROM number
),
pair AS (
    SELECT said.model, live.version AS live, said.version AS shadow, said.output,
        said.value - live.value AS apart
    FROM said JOIN said AS live ON live.id = said.beside AND live.output = said.output
)
SELECT model, live, shadow, output, count(*) AS pairs,
    round(avg(apart), 4) AS bias,
    round(avg(apart) - 1.96 * coalesce(stddev_samp(apart), 0), 4) AS low,
    round(avg(apart) + 1.96 * coalesce(stddev_samp(apart), 0), 4) AS high
FROM pair
GROUP BY ALL
ORDER BY model, live, shadow, output
