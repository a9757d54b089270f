{#-
  The condition that keeps a test to the days that are being built: dbt's --event-time-start (inclusive) and
  --event-time-end (exclusive). Without them it is true, and the test covers everything. So an old bad row does not
  fail the run that corrects another day, and a test of one day reads one day.
-#}
{% macro built_days(column='day') %}
  {%- set start = invocation_args_dict.get('event_time_start') -%}
  {%- set end = invocation_args_dict.get('event_time_end') -%}
  {%- set conditions = [] -%}
  {%- if start %}{% do conditions.append(column ~ " >= date '" ~ (start | string)[:10] ~ "'") %}{% endif -%}
  {%- if end %}{% do conditions.append(column ~ " < date '" ~ (end | string)[:10] ~ "'") %}{% endif -%}
  {{- return(conditions | join(' and ') if conditions else 'true') -}}
{% endmacro %}

{#- dbt's own hook for `where` of a generic test; here `where: built days` means the condition above. -#}
{% macro get_where_subquery(relation) -%}
  {%- set where = config.get('where', '') -%}
  {%- if where == 'built days' -%}{%- set where = built_days() -%}{%- endif -%}
  {%- if where -%}
    (select * from {{ relation }} where {{ where }}) dbt_subquery
  {%- else -%}
    {{ relation }}
  {%- endif -%}
{%- endmacro %}
