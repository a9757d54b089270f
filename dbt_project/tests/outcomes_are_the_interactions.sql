{{ config(meta={'dagster': {'ref': {'name': 'int_outcomes'}}}) }}
-- every interaction has exactly one outcome, and no outcome outlives its interaction
with interactions as (select day, id from {{ ref('stg_interactions') }} where {{ built_days() }}),
outcomes as (select day, id from {{ ref('int_outcomes') }} where {{ built_days() }})
select coalesce(i.day, o.day) as day, i.id as interaction, o.id as outcome
from interactions as i
full outer join outcomes as o on o.day = i.day and o.id = i.id
where i.id is null or o.id is null
