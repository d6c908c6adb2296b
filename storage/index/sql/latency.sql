-- title: Latency of every stage
-- words: Seconds from one stage to the next: received, filed, settled, begun, delivered, result.
-- role: sql
-- param: days int 7 So many days back.
-- plot: bars x=stage y=p95_s
WITH settled AS (
    SELECT study_key, series_key, revision, first_received_at, last_received_at, filed_at,
        settled_at
    FROM series_revision
    WHERE settled_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
),
begun AS (
    SELECT job.id, job.kind, job.rule, job.study_key, job.begun_at, settled.settled_at,
        settled.first_received_at
    FROM job
    JOIN settled ON settled.study_key = job.study_key AND settled.series_key = job.series_key
        AND settled.revision = job.revision
    WHERE job.begun_at IS NOT NULL
),
delivered AS (
    SELECT begun.id, begun.begun_at, begun.first_received_at,
        max(delivery.delivered_at) AS delivered_at
    FROM begun JOIN delivery ON delivery.job = begun.id
    GROUP BY ALL
),
results AS (
    SELECT begun.id, begun.begun_at, begun.first_received_at, min(instance.received_at) AS made_at
    FROM begun JOIN instance ON instance.study_key = begun.study_key
        AND instance.rule = begun.rule AND instance.received_at >= begun.begun_at
    WHERE begun.kind = 'infer' AND instance.origin = 'ai'
    GROUP BY ALL
),
stages AS (
    SELECT 1 AS number, 'received to filed' AS stage, filed_at - last_received_at AS took FROM settled
    UNION ALL SELECT 2, 'filed to settled', settled_at - filed_at FROM settled
    UNION ALL SELECT 3, 'settled to begun', begun_at - settled_at FROM begun
    UNION ALL SELECT 4, 'begun to delivered', delivered_at - begun_at FROM delivered
    UNION ALL SELECT 5, 'begun to result', made_at - begun_at FROM results
    UNION ALL SELECT 6, 'received to delivered', delivered_at - first_received_at FROM delivered
    UNION ALL SELECT 7, 'received to result', made_at - first_received_at FROM results
)
SELECT stage, count(*) AS times,
    round(median(epoch(took)), 3) AS p50_s,
    round(quantile_cont(epoch(took), 0.95), 3) AS p95_s,
    round(max(epoch(took)), 3) AS longest_s
FROM stages
WHERE took IS NOT NULL
GROUP BY number, stage
ORDER BY number
