{{ config(event_time='day') }}

select
  day,
  id,
  occurred_at,
  received_at,
  user_id,
  coalesce(variant, 'main') as variant,
  prompt,
  response,
  passages,
  release_id,
  coalesce(feedback, 'none') as feedback,
  corrected_response,
  schema_ok,
  topic,
  tags,
  coalesce(feedback in ('up', 'down'), false) or corrected_response is not null as labelled,
  corrected_response is not null as edited,
  coalesce(feedback = 'down', false)
    or (corrected_response is not null and corrected_response is distinct from response) as failed
from {{ lake('interactions') }}
