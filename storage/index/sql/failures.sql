-- title: Failures by destination
-- words: Jobs that failed, are held or are tried again, by destination or model and by fault.
-- role: sql
-- param: days int 30 So many days back.
-- plot: bars x=target y=jobs by=fault
SELECT target, kind, fault, state, count(*) AS jobs, sum(attempts) AS attempts,
    min(created_at) AS oldest, max(changed_at) AS newest
FROM job
WHERE fault <> ''
    AND changed_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
GROUP BY target, kind, fault, state
ORDER BY jobs DESC, target, kind, fault, state
