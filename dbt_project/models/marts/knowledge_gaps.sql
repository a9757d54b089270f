{{ config(materialized='table', tags=['whole']) }}

with failures as (

  select
    variant,
    kind,
    doc_id,
    topic,
    day,
    id,
    user_id,
    failed_prompt,
    row_number() over (
      partition by variant, kind, doc_id, topic order by day desc, {{ by_bytes('id') }}
    ) as newest
  from {{ ref('int_outcomes') }}
  where verdict = 'knowledge'

),

gaps as (

  select
    variant,
    kind,
    doc_id,
    topic,
    count(*) as failures,
    count(distinct user_id) as users,
    min(day) as first_day,
    max(day) as last_day,
    '[' || string_agg(case when newest <= 5 then {{ json_string('id') }} end, ',' order by newest) || ']' as example_ids,
    min(case when newest = 1 then failed_prompt end) as example_prompt
  from failures
  group by variant, kind, doc_id, topic

)

select
  row_number() over (
    order by failures desc, users desc, last_day desc, {{ by_bytes('variant') }},
      {{ by_bytes('kind') }} nulls last, {{ by_bytes('doc_id') }} nulls last, {{ by_bytes('topic') }}
  ) as rank,
  gaps.*
from gaps
