-- title: Dose, where it is told
-- words: Numbers of dose reports (RDSR), and dose in the heads of images by protocol: median and highest.
-- role: sql
-- param: days int 90 So many days back.
-- plot: bars x=quantity y=median by=unit
WITH told AS (
    SELECT 'dose report' AS source, '' AS ProtocolName, dose.quantity, dose.unit, dose.measured,
        dose.instance_key
    FROM dose
    UNION ALL BY NAME
    SELECT 'image' AS source, coalesce(ProtocolName, '') AS ProtocolName, 'CTDIvol' AS quantity,
        'mGy' AS unit, CTDIvol AS measured, instance_key
    FROM acquisition WHERE CTDIvol IS NOT NULL
    UNION ALL BY NAME
    SELECT 'image' AS source, coalesce(ProtocolName, '') AS ProtocolName,
        'Dose Area Product' AS quantity, 'dGy.cm2' AS unit,
        ImageAndFluoroscopyAreaDoseProduct AS measured, instance_key
    FROM acquisition WHERE ImageAndFluoroscopyAreaDoseProduct IS NOT NULL
    UNION ALL BY NAME
    SELECT 'image' AS source, coalesce(ProtocolName, '') AS ProtocolName,
        'Entrance Dose' AS quantity, 'mGy' AS unit, EntranceDoseInmGy AS measured, instance_key
    FROM acquisition WHERE EntranceDoseInmGy IS NOT NULL
)
SELECT
    told.source, told.ProtocolName, told.quantity, told.unit,
    count(*) AS values,
    round(median(told.measured), 3) AS median,
    round(quantile_cont(told.measured, 0.75), 3) AS upper_quartile,
    round(max(told.measured), 3) AS highest
FROM told
JOIN instance ON instance.instance_key = told.instance_key
WHERE told.measured IS NOT NULL
    AND instance.received_at BETWEEN $now::TIMESTAMP - to_days($days::INTEGER) AND $now::TIMESTAMP
GROUP BY ALL
ORDER BY ALL
