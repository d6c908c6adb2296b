-- title: Who called, and how it went
-- words: Associations by calling AE: accepted, rejected, cut off, and what they brought.
-- role: sql
-- param: days int 7 So many days back.
-- plot: bars x=calling_ae y=associations by=outcome
SELECT calling_ae,
    CASE WHEN verdict = 'accepted' THEN outcome ELSE verdict END AS outcome,
    count(*) AS associations,
    sum(objects) AS objects,
    sum(refused_objects) AS refused_objects,
    round(sum(length_bytes) / 1e6, 1) AS megabytes,
    round(median(seconds), 3) AS median_s,
    max(ended_at) AS last_at
FROM association
WHERE began_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
GROUP BY ALL
ORDER BY associations DESC, calling_ae, outcome
