{{ config(
    materialized='incremental',
    incremental_strategy='microbatch',
    event_time='day',
    batch_size='day',
    begin=var('begin'),
    lookback=0,
    on_schema_change='fail',
    indexes=day_index(),
    tags=['daily'],
) }}

with outcomes as (select * from {{ ref('int_outcomes') }}),

interactions as (select * from {{ ref('stg_interactions') }}),

chosen as (

  select
    o.day,
    o.id,
    o.variant,
    o.topic,
    i.user_id,
    i.prompt,
    coalesce(i.corrected_response, i.response) as completion,
    i.passages,
    case when o.failed then 'correction' else 'accepted' end as source,
    '[' || {{ json_string('o.id') }} || ']' as interaction_ids,
    i.release_id,
    i.occurred_at
  from outcomes as o
  inner join interactions as i on i.day = o.day and i.id = o.id
  where
    -- somebody wrote what the answer should have been, and the manner was at fault
    (o.failed and o.edited and o.verdict = 'behavior')
    -- or liked it as it was; a broken form is no example, whoever liked it
    or (o.labelled and not o.failed and o.schema_ok is distinct from false)

)

select * from chosen
where completion <> ''
