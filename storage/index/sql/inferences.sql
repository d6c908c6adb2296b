-- title: Inferences by model and version
-- words: How often each version was asked each day, what came of it, and how long models took.
-- role: sql
-- param: days int 30 So many days back.
-- plot: bars x=day y=inferences by=model
SELECT
    date_trunc('day', began_at) AS day,
    model,
    version,
    stage,
    count(*) AS inferences,
    count(*) FILTER (outcome = 'found') AS found,
    count(*) FILTER (outcome = 'nothing') AS nothing,
    count(*) FILTER (outcome = 'refused') AS refused,
    count(*) FILTER (outcome = 'failed') AS failed,
    count(*) FILTER (outcome = 'held') AS held,
    count(*) FILTER (is_cached) AS cached,
    round(median(model_s), 3) AS p50_s,
    round(quantile_cont(model_s, 0.95), 3) AS p95_s
FROM inference
WHERE began_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
GROUP BY ALL
ORDER BY day, model, version, stage
