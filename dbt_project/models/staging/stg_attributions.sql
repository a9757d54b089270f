{{ config(event_time='day') }}

select
  day,
  id,
  topic,
  verdict,
  kind,
  doc_id,
  evidence,
  edit,
  produced_refusal,
  corrected_refusal,
  produced_format,
  corrected_format,
  version
from {{ lake('attributions') }}
