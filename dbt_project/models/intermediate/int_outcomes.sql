{{ config(
    materialized='incremental',
    incremental_strategy='microbatch',
    event_time='day',
    batch_size='day',
    begin=var('begin'),
    lookback=0,
    on_schema_change='fail',
    indexes=day_index(),
) }}

with interactions as (select * from {{ ref('stg_interactions') }}),

attributions as (select * from {{ ref('stg_attributions') }}),

joined as (

  select
    i.*,
    coalesce(i.topic, a.topic, 'unassigned') as final_topic,
    -- a failure that nobody has attributed yet counts as unclear, never as the model's fault
    case when i.failed then coalesce(a.verdict, 'unclear') end as final_verdict,
    a.kind,
    a.doc_id,
    a.edit,
    a.produced_refusal,
    a.corrected_refusal,
    a.produced_format,
    a.corrected_format
  from interactions as i
  left join attributions as a on a.day = i.day and a.id = i.id

)

select
  j.day,
  j.id,
  j.variant,
  j.final_topic as topic,
  j.user_id,
  j.release_id,
  j.occurred_at,
  j.labelled,
  j.failed,
  j.edited,
  j.final_verdict as verdict,
  case when j.failed then j.kind end as kind,
  case when j.failed then j.doc_id end as doc_id,
  j.schema_ok,
  cast(char_length(j.response) as bigint) as style_value,
  r.style_median,
  case when j.edited then j.edit end as edit,
  r.edit_p60,
  j.edited and coalesce(j.produced_refusal <> j.corrected_refusal, false) as refusal_changed,
  j.edited and coalesce(j.produced_format <> j.corrected_format, false) as format_changed,
  -- what the gaps report quotes, kept here so that the report need not read every prompt again
  case when j.final_verdict = 'knowledge' then j.prompt end as failed_prompt
from joined as j
left join {{ ref('stg_reference') }} as r on r.variant = j.variant and r.topic = j.final_topic
