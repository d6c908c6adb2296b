-- title: Deliveries by destination and day
-- words: What was delivered where, with its proof: objects and megabytes.
-- role: sql
-- param: days int 30 So many days back.
-- plot: bars x=day y=objects by=destination
SELECT date_trunc('day', delivered_at)::DATE AS day, destination, proof, count(*) AS objects,
    round(sum(length_bytes) / 1e6, 1) AS megabytes
FROM delivery
WHERE delivered_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
GROUP BY ALL
ORDER BY day, destination, proof
