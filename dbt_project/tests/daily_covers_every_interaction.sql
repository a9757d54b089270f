{{ config(meta={'dagster': {'ref': {'name': 'behavior_daily'}}}) }}
-- the event `labelled` has every interaction of its day in its denominator
with counted as (
  select day, sum(n) as n from {{ ref('behavior_daily') }} where event = 'labelled' and {{ built_days() }} group by day
),
outcomes as (select day, count(*) as n from {{ ref('int_outcomes') }} where {{ built_days() }} group by day)
select coalesce(c.day, o.day) as day, c.n as counted, o.n as interactions
from counted as c
full outer join outcomes as o on o.day = c.day
where c.n is distinct from o.n
