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
{#- event: (which interactions are eligible, which of them have it) -#}
{%- set events = {
  'know': ('labelled', "labelled and verdict = 'knowledge'"),
  'labelled': ('true', 'labelled'),
  'fail': ('labelled', "labelled and verdict = 'behavior'"),
  'schema_bad': ('schema_ok is not null', 'not schema_ok'),
  'style': ('style_median is not null', 'style_value > style_median'),
  'edit': ('edited and edit_p60 is not null', 'edited and edit > edit_p60'),
  'refusal': ('edited', 'refusal_changed'),
  'format': ('edited', 'format_changed'),
} %}

with counted as (

  select
    day,
    variant,
    topic,
    {%- for event, (eligible, occurred) in events.items() %}
    {{ count_where(eligible) }} as n_{{ event }},
    {{ count_where(occurred) }} as s_{{ event }}{{ ',' if not loop.last }}
    {%- endfor %}
  from {{ ref('int_outcomes') }}
  group by day, variant, topic

)
{% for event in events %}
select day, variant, topic, '{{ event }}' as event, n_{{ event }} as n, s_{{ event }} as s
from counted
where n_{{ event }} > 0
{{ 'union all' if not loop.last }}
{%- endfor %}
