{{ config(meta={'dagster': {'ref': {'name': 'training_candidates'}}}) }}
-- a candidate whose interaction was deleted must be gone
select c.day, c.id
from {{ ref('training_candidates') }} as c
left join {{ ref('stg_interactions') }} as i on i.day = c.day and i.id = c.id
where i.id is null and {{ built_days('c.day') }}
