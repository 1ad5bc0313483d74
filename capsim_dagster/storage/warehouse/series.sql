-- One row a series of processed_data: what is known of it besides its values. Hosts that the inventory does not know have
-- nulls; capacity is that of the last day.
SELECT
    known.host_id || '/' || known.resource AS unique_id,
    known.host_id,
    known.resource,
    hosts.department,
    hosts.business_unit,
    business_hierarchy.sub_department,
    business_hierarchy.app_code,
    hosts.region,
    hosts.criticality,
    hosts.classification,
    hosts.server_type,
    known.capacity,
    hosts.scenario,
    hosts.variant
FROM (SELECT host_id, resource, max_by(capacity, ds) AS capacity FROM processed_data GROUP BY ALL) AS known
LEFT JOIN hosts USING (host_id)
LEFT JOIN business_hierarchy USING (host_id)
